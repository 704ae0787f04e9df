"""Claims about torch's own files: read to the bit in both formats, and nothing in them is ever run."""

import os
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.errors import InputError
from cemi_learn.weights.torch_file import read_torch_bytes, read_torch_file


@pytest.fixture(params=[True, False], ids=["zip", "before-1.6"])
def saved(request, tmp_path):
    """Return what saves in one of the two formats and returns the path."""

    def save(content):
        path = tmp_path / "w.pth"
        torch.save(content, path, _use_new_zipfile_serialization=request.param)
        return path

    return save


def test_tensors_of_every_type_and_order_come_back_to_the_bit(saved):
    base = torch.randn(4, 6)
    content = {
        "view": base[1:3, ::2],
        "transposed": base.T,
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": base.half(),
        "bfloat": base.bfloat16(),
        "whole": torch.arange(5),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "truth": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(base),
    }
    found = read_torch_file(saved({"state": [content, (1, 2.5, None, True, "ü")]}))["state"]
    assert found[1] == (1, 2.5, None, True, "ü")
    for name, value in content.items():
        assert torch.equal(found[0][name], value) and found[0][name].dtype == value.dtype
        assert found[0][name].stride() == value.stride()


def test_the_weights_of_a_network_come_back(saved):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3))
    path = saved(network.state_dict())
    found = read_torch_file(path)
    assert list(found) == list(network.state_dict())
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())
    from_memory = read_torch_bytes(path.read_bytes(), "it")
    assert all(torch.equal(from_memory[name], value) for name, value in found.items())


class Harm:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_code_in_a_file_is_named_and_not_run(saved, tmp_path):
    path = saved({"x": Harm(tmp_path / "harm")})
    with pytest.raises(
        InputError, match=r"w.pth holds more than tensors \(a call of posix.mkdir\), and code from files"
    ):
        read_torch_file(path)
    assert not (tmp_path / "harm").exists()
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    with pytest.raises(InputError):
        read_torch_file(tmp_path / "plain.pkl")
    assert not (tmp_path / "harm").exists()


def test_a_whole_network_in_a_file_is_one_sentence(saved):
    with pytest.raises(InputError, match=r"holds more than tensors .*save its state_dict as .safetensors"):
        read_torch_file(saved(torch.nn.Linear(1, 1)))


def test_files_that_are_cut_short_or_something_else_are_one_sentence(saved, tmp_path):
    path = saved({"x": torch.randn(2000)})
    data = path.read_bytes()
    for length in (0, 1, 10, 200, 4000, len(data) - 300):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"w.pth (cannot be read as weights|holds more than tensors)"):
            read_torch_file(path)
    path.write_text("no weights at all")
    with pytest.raises(InputError, match=r"w.pth (cannot be read as weights|holds more than tensors)"):
        read_torch_file(path)
    with pytest.raises(InputError, match="cannot be read as weights"):
        read_torch_file(tmp_path / "nowhere.pth")


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_whatever_end_in_anything_but_a_sentence(data):
    with pytest.raises(InputError):
        read_torch_bytes(data, "bytes")
