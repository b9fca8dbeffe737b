import pytest
import torch

from cliptune.encoders.precision import choose_device, choose_precision
from cliptune.errors import DeviceError, UnknownNameError

NO_CUDA = not torch.cuda.is_available()


def test_auto_on_a_processor_is_fp32_with_a_reason():
    choice = choose_precision("auto", "cpu")
    assert choice.precision == "fp32"
    assert choice.reason


def test_what_is_asked_for_is_taken():
    assert choose_precision("bf16", "cpu").precision == "bf16"
    assert choose_precision("fp16", "cuda:0").precision == "fp16"


def test_fp16_needs_a_gpu():
    with pytest.raises(DeviceError, match="'fp16' needs a GPU, the device is cpu"):
        choose_precision("fp16", "cpu")


@pytest.mark.parametrize(
    ("has_bf16", "convolutional", "expected"),
    [(True, False, "bf16"), (False, False, "fp16"), (True, True, "fp32"), (False, True, "fp32")],
)
def test_auto_on_a_gpu(monkeypatch, has_bf16, convolutional, expected):
    monkeypatch.setattr("cliptune.encoders.precision._has_bf16", lambda device: has_bf16)
    choice = choose_precision("auto", "cuda", convolutional=convolutional)
    assert choice.precision == expected


def test_unknown_names_list_the_nearest():
    with pytest.raises(UnknownNameError, match="precision 'bf61'; nearest: bf16"):
        choose_precision("bf61", "cpu")
    with pytest.raises(UnknownNameError, match="device 'cdua'; nearest: cuda"):
        choose_device("cdua")


def test_the_choice_is_logged(caplog):
    with caplog.at_level("INFO", logger="cliptune"):
        choose_precision("auto", choose_device("cpu"))
    assert "precision fp32 on cpu: " in caplog.text


@pytest.mark.skipif(not NO_CUDA, reason="this machine has a CUDA GPU")
def test_cuda_where_there_is_none_is_one_plain_line():
    for name in ("cuda", "cuda:3"):
        with pytest.raises(DeviceError, match=rf"^device '{name}': torch finds no CUDA GPU .*$"):
            choose_device(name)
    assert choose_device("auto") in ("cpu", "mps")


@pytest.mark.skipif(NO_CUDA, reason="needs a CUDA GPU")
def test_a_gpu_that_is_not_there():
    assert choose_device("auto") == "cuda"
    with pytest.raises(DeviceError, match="this machine has"):
        choose_device("cuda:99")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_mps_where_there_is_none():
    with pytest.raises(DeviceError, match="no Apple GPU"):
        choose_device("mps")
