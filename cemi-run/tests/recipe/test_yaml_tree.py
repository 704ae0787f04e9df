"""Claims about reading YAML: 1.2 scalars, places of keys, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.errors import InputError, UsageError
from cemi_run.recipe.yaml_tree import Mark, parse_yaml, read_yaml, to_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("~", None),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("-.5", -0.5),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text, value):
    data = parse_yaml(f"a: {text}", "r.yaml").data["a"]
    assert data == value
    assert type(data) is type(value)


def test_every_part_knows_line_and_column():
    tree = parse_yaml("source:\n  use: images\n  with:\n    path: a.tif\n", "r.yaml")
    assert tree.mark(("source", "with", "path")) == Mark("r.yaml", 4, 5)
    assert str(tree.mark(("source", "with", "gone"))) == "r.yaml:3:3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "r.yaml:1:"),
        ("a: 1\na: 2", "r.yaml:2:1: 'a' stands here a second time"),
        ("a: !!python/object:os.system x", "not allowed"),
        ("a: .inf", "not a finite number"),
        ("? [1, 2]\n: x", "a key must be a word"),
        ("\t- x", "not valid YAML"),
        ("[" * 5000, "nested|valid"),
    ],
)
def test_what_is_no_recipe_is_refused_with_its_place(text, said):
    with pytest.raises(UsageError, match=said):
        parse_yaml(text, "r.yaml")


def test_aliases_cannot_unfold_without_end():
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9))
    with pytest.raises(UsageError, match="unfolds into more than"):
        parse_yaml("l0: &l0 [x]\n" + levels, "bomb.yaml")


def test_files_that_cannot_be_read_are_named(tmp_path):
    empty, binary = tmp_path / "empty.yaml", tmp_path / "binary.yaml"
    empty.write_text("# only a comment\n")
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for path, said in (
        (tmp_path / "none.yaml", "there is no recipe"),
        (empty, "is empty"),
        (binary, "not a text file"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(InputError, match=said):
            read_yaml(path)


@given(st.text(max_size=60))
def test_no_text_leads_to_anything_but_data_or_one_sentence(text):
    try:
        parse_yaml(text, "r.yaml")
    except (UsageError, InputError) as error:
        assert "r.yaml" in str(error)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029\ufeff\ufffe\uffff"
        )
    ),
    st.sampled_from(["1e-3", "on", "0x1F", "~", "null", "true", "1_000", "2024-01-01", "", " 1 ", "=", "<<", "12:30"]),
)


@given(st.dictionaries(st.text("abcdefgh", min_size=1), st.one_of(scalars, st.lists(scalars))))
def test_what_is_written_reads_back_as_the_same_data(data):
    assert parse_yaml(to_yaml(data), "r.yaml").data == data if data else True
