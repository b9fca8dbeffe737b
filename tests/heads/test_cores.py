import threading

import pytest
import torch

from cliptune.heads.cores import Cores, even_slices


def test_as_many_pieces_as_cores_run_beside_each_other_with_one_thread_each(two_threads):
    both = threading.Barrier(2, timeout=30)  # broken where one runs after the other

    def work(piece):
        both.wait()
        return piece, torch.get_num_threads()

    with Cores(2) as cores:
        assert cores.map(work, ["a", "b"]) == [("a", 1), ("b", 1)]
    assert torch.get_num_threads() == 2


def test_a_single_piece_has_all_cores(two_threads):
    with Cores(1) as cores:
        found = cores.map(lambda _: (threading.current_thread(), torch.get_num_threads()), [0])
    assert found == [(threading.main_thread(), 2)]


def test_an_exception_is_raised_and_the_setting_comes_back(two_threads):
    with pytest.raises(ZeroDivisionError), Cores(3) as cores:
        cores.map(lambda divisor: 1 / divisor, [1, 0, 2])
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("n", "at_once"), [(7, 3), (1, 5), (8, 2), (5, None)])
def test_slices_cover_everything_once_and_evenly(n, at_once):
    slices = even_slices(n, at_once)
    sizes = [part.stop - part.start for part in slices]
    assert [i for part in slices for i in range(n)[part]] == list(range(n))
    assert max(sizes) <= (at_once or n)
    assert max(sizes) - min(sizes) <= 1


def test_slices_keep_all_cores_at_work(two_threads):
    assert len(even_slices(9, 4)) == 4  # not 3, of which one would be alone at the end
    assert len(even_slices(3, 1)) == 3  # no empty ones
    assert len(even_slices(4, 4)) == 1  # what is best at once stays together
