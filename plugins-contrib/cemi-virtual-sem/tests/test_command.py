from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from cemi_core.errors import InputError, UsageError
from cemi_core.plugins import CommandPlugin
from cemi_core.plugins.types import load_object
from cemi_virtual_sem import plugin
from cemi_virtual_sem.command import virtual_sem


def test_the_command_writes_stills_and_says_what_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "stills"
    call = ["polycrystal", "--out", str(out), "--size", "tiny", "--mode", "stills", "--set", "stills=2", "--json"]
    result = CliRunner().invoke(virtual_sem, call)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["pictures"] == 2 and Path(report["truth"]).is_file()
    assert len(list((out / "frames").glob("*.tif"))) == 2
    assert "of" in result.stderr


def test_wrong_calls_end_with_code_2_or_a_clear_error(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(virtual_sem, ["steel", "--out", str(tmp_path / "a")]).exit_code == 2
    assert run(virtual_sem, ["ehea"]).exit_code == 2
    wrong_key = run(virtual_sem, ["ehea", "--out", str(tmp_path / "a"), "--set", "colour=red"])
    assert isinstance(wrong_key.exception, UsageError) and "colour" in str(wrong_key.exception)
    hd_video = run(virtual_sem, ["ehea", "--out", str(tmp_path / "a"), "--size", "tiny", "--hd"])
    assert isinstance(hd_video.exception, UsageError)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    full = run(virtual_sem, ["ehea", "--out", str(tmp_path / "full"), "--size", "tiny"])
    assert isinstance(full.exception, InputError) and "--force" in str(full.exception)


def test_dwell_and_settings_reach_the_recording(tmp_path: Path) -> None:
    call = ["ehea", "--out", str(tmp_path / "r"), "--size", "tiny", "--mode", "stills", "--dwell", "4"]
    result = CliRunner().invoke(virtual_sem, [*call, "--set", "specimen.bcc_high=0.5", "--set", "stills=2"])
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "r" / "session.json").read_text())["settings"]
    assert settings["detector"]["dwell"] == 4 and settings["specimen"]["bcc_high"] == 0.5


def test_plugin_names_the_command_and_imports_nothing_heavy() -> None:
    (command,) = plugin.cemi_commands()
    assert isinstance(command, CommandPlugin) and command.name == "virtual-sem"
    assert load_object(command.command) is virtual_sem
    code = "import sys, cemi_virtual_sem.plugin; print([m for m in ('numpy', 'cv2', 'av', 'h5py') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
