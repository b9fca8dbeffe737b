"""The border in a tower between blocks that never train and what follows them.

What comes out of the last frozen block is a function of the image alone, so it can be computed
once and the tower be entered there in every epoch. It knows modules, and nothing about files,
images or steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cliptune.finetuning.groups import BLOCK, GroupPlan

__all__ = ["Border", "TowerCut", "find_border", "trains_ever"]


@dataclass(frozen=True)
class Border:
    """Where a tower can be entered.

    Attributes:
        blocks: The tower's blocks, as names of modules, from the input on.
        n_frozen: How many of them, the first ones, never train.
    """

    blocks: tuple[str, ...]
    n_frozen: int

    @property
    def n_moving(self) -> int:
        """How many blocks follow the border."""
        return len(self.blocks) - self.n_frozen


def find_border(plans: Sequence[GroupPlan], tower: str) -> Border | None:
    """Find the last block before anything that ever trains; None where there is none.

    Args:
        plans: Of all groups of a model.
        tower: ``image`` or ``text``.
    """
    if any(plan.group.name == f"lora.{tower}" and _moves(plan) for plan in plans):
        return None
    own = [plan for plan in plans if plan.group.name.startswith(f"{tower}.")]
    stem = [plan for plan in own if plan.group.name == f"{tower}.stem"]
    blocks = [plan for plan in own if re.fullmatch(rf"{tower}\.block\d+", plan.group.name)]
    if any(map(_moves, stem)):
        return None
    n_frozen = next((n for n, plan in enumerate(blocks) if _moves(plan)), len(blocks))
    return Border(tuple(map(_module_name, blocks)), n_frozen) if n_frozen else None


def trains_ever(plans: Sequence[GroupPlan], tower: str) -> bool:
    """Tell whether anything of a tower trains at any time, updates of low rank included."""
    return any(_moves(plan) and tower in plan.group.name.split(".") for plan in plans)


def _moves(plan: GroupPlan) -> bool:
    return plan.start_epoch is not None


def _module_name(plan: GroupPlan) -> str:
    name = plan.group.parameters[0][0].removeprefix("model.")
    found = BLOCK.search(name)
    assert found is not None, "the group was named after it"
    return name[: found.end(1)]


class TowerCut:
    """A tower that can be left and entered behind its last frozen block.

    Args:
        module: Holds the tower; its blocks are found by name.
        border: Where.
    """

    def __init__(self, module: nn.Module, border: Border) -> None:
        names = border.blocks[: border.n_frozen]
        self._blocks = [module.get_submodule(name) for name in names]
        self._is_tuple = False

    @torch.no_grad()
    def leave(self, run: Callable[[], object]) -> Tensor:
        """Run the tower up to the border.

        Args:
            run: Calls the tower on B inputs.

        Returns:
            What the last frozen block gives, (B, ...), in the tower's own dtype.
        """

        def stop(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            self._is_tuple = isinstance(output, tuple)
            raise _BorderReached(output[0] if isinstance(output, tuple) else output)

        handle = self._blocks[-1].register_forward_hook(stop)
        try:
            run()
        except _BorderReached as reached:
            return reached.hidden
        finally:
            handle.remove()
        raise RuntimeError("the tower gave its rows without passing its blocks")

    @contextmanager
    def entered(self, hidden: Tensor) -> Iterator[None]:
        """While the block lasts, whatever the tower is called on, it goes on from ``hidden``.

        What lies before the border still sees the input, so let it be a single blank one.

        Args:
            hidden: (B, ...), as ``leave`` gave it.
        """
        output = (hidden,) if self._is_tuple else hidden
        with ExitStack() as stack:
            for block in self._blocks:
                # An attribute of the instance hides the method of its class.
                block.forward = _pass_on
                stack.callback(block.__dict__.pop, "forward")
            handle = self._blocks[-1].register_forward_hook(lambda *_: output)
            stack.callback(handle.remove)
            yield


class _BorderReached(Exception):  # noqa: N818  no error: it carries the result out of the tower
    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


def _pass_on(hidden: Tensor, *_: object, **__: object) -> Tensor:
    return hidden
