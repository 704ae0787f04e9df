"""Claims about the search for probes: one that is planted is found, and the code holds none."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("no_probes", ROOT / "tools" / "no_probes.py")
no_probes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(no_probes)


@pytest.mark.parametrize(
    "probe",
    [
        "judge = getattr(denoiser, 'judge', None)",
        "if hasattr(stitcher, 'blend_and_count'): pass",
        "inspect.signature(stitcher.place)",
        "from inspect import signature\nsignature(plugin)",
        "operator.attrgetter('halo')(x)",
    ],
)
def test_a_planted_probe_is_found_unless_a_comment_says_that_it_is_no_plugin(probe, tmp_path, capsys):
    (tmp_path / "module.py").write_text(probe + "\n")
    assert no_probes.main([str(tmp_path)]) == 1
    assert "declare an ability" in capsys.readouterr().out
    (tmp_path / "module.py").write_text(probe + "  # no plugin\n")
    assert no_probes.main([str(tmp_path)]) == 0


def test_a_name_that_is_not_known_beforehand_is_no_probe():
    assert not list(no_probes.probes("value = getattr(settings, name)\nvalues = object.signature\n"))


def test_the_code_holds_no_probe(capsys):
    folders = [*ROOT.glob("cemi-*/src"), *ROOT.glob("plugins-contrib/*/src")]
    assert no_probes.main([str(folder) for folder in folders]) == 0, capsys.readouterr().out
