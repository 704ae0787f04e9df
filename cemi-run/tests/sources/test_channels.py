"""Claims about channels of stills: what becomes one, what is matched, and what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from cemi_core.errors import InputError, UsageError
from cemi_core.images import read_image
from cemi_core.testing import textured_image
from cemi_run.sources import stills
from cemi_run.sources.images import ImagesSettings, ImagesSource


def picture(seed, shape=(40, 60)):
    return np.rint(255 * textured_image(shape, seed=seed)).astype(np.uint8)


def colours(seed=0, samples=3):
    return np.stack([picture(seed + n) for n in range(samples)], axis=-1)


def pages(path, *images):
    with tifffile.TiffWriter(path) as file:
        for image in images:
            file.write(image, photometric="minisblack", metadata=None)


def opened(path, **settings):
    return ImagesSource(ImagesSettings(path=str(path), **settings))


@pytest.fixture
def two_detectors(tmp_path):
    """Three files, each with a page of BSE and one of SE."""
    folder = tmp_path / "two"
    folder.mkdir()
    for number in range(3):
        pages(folder / f"t{number}.tif", picture(number), picture(10 + number))
    return folder


@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_keeps_its_channels_beside_its_luminance(tmp_path, suffix, dtype):
    image = colours().astype(dtype) * (257 if dtype == np.uint16 else 1)
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, image, photometric="rgb")
    else:
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(image))
    source = opened(path)
    assert source.frames[0].channels == ("red", "green", "blue")
    assert source.frames[0].main_channel == ""
    grey, planes = source.read_together(0)
    np.testing.assert_array_equal(grey, source.read(0))
    top = np.iinfo(dtype).max
    np.testing.assert_array_equal(np.rint(planes * top), np.moveaxis(image, -1, 0))
    np.testing.assert_array_equal(np.rint(grey * top), np.rint(image @ np.array([0.299, 0.587, 0.114], np.float32)))
    assert "red, green and blue are kept" in source.notes[0]


def test_grey_saved_as_colour_has_no_channels(tmp_path):
    Image.fromarray(picture(0)).convert("RGB").save(tmp_path / "a.png")
    source = opened(tmp_path / "a.png")
    assert source.frames[0].channels == ()
    assert source.notes == ()


def test_colour_that_comes_late_among_grey_files_is_seen(tmp_path):
    for number in range(4):
        Image.fromarray(picture(number)).convert("RGB").save(tmp_path / f"a{number}.png")
    Image.fromarray(colours()).save(tmp_path / "a4.png")
    source = opened(tmp_path)
    assert source.frames[0].channels == ("red", "green", "blue")
    planes = source.read_channels(0)
    np.testing.assert_array_equal(planes[0], planes[2])


def test_channels_grey_uses_the_luminance_alone_and_says_so(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "a.png")
    source = opened(tmp_path / "a.png", channels="grey")
    assert source.frames[0].channels == ()
    assert "luminance is used" in source.notes[0]


def test_transparent_pixels_are_said_and_are_no_channel(tmp_path):
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:, :5] = 0
    Image.fromarray(np.concatenate([colours(), alpha], axis=-1)).save(tmp_path / "a.png")
    source = opened(tmp_path / "a.png")
    assert source.frames[0].channels == ("red", "green", "blue")
    assert any("transparent pixels" in note for note in source.notes)


def test_pages_of_each_file_are_channels_of_one_frame(two_detectors):
    source = opened(two_detectors, channels=["BSE", "SE"])
    assert [frame.name for frame in source.frames] == ["t0.tif", "t1.tif", "t2.tif"]
    assert source.frames[1].channels == ("BSE", "SE")
    assert source.frames[1].main_channel == "BSE"
    np.testing.assert_array_equal(np.rint(255 * source.read(1)), picture(1))
    np.testing.assert_array_equal(np.rint(255 * source.read_channels(1)[1]), picture(11))


def test_each_page_is_decoded_once_for_all_channels(tmp_path, monkeypatch):
    Image.fromarray(colours()).save(tmp_path / "a.png")
    source = opened(tmp_path / "a.png")
    decoded = []
    real = read_image.read_samples
    monkeypatch.setattr(stills, "read_samples", lambda path, page=0: (decoded.append(page), real(path, page))[1])
    source.read_together(0)
    assert decoded == [0]


def test_four_samples_without_a_colour_are_four_channels_and_that_is_said(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        colours(samples=4),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"] * 3,
    )
    source = opened(tmp_path / "a.tif")
    assert source.frames[0].channels == ("channel1", "channel2", "channel3", "channel4")
    assert source.frames[0].main_channel == "channel1"
    np.testing.assert_array_equal(np.rint(255 * source.read(0)), picture(0))
    assert "4 samples" in source.notes[0]
    named = opened(tmp_path / "a.tif", channels=["A", "B", "C", "D"])
    np.testing.assert_array_equal(np.rint(255 * named.read_channels(0)[3]), picture(3))


def test_printing_colours_in_a_tiff_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", colours(samples=4), photometric="separated")
    with pytest.raises(InputError, match="CMYK"):
        opened(tmp_path / "a.tif")


def test_more_pages_than_names_are_refused_with_both_numbers(two_detectors):
    with pytest.raises(InputError, match=r"t0.tif' holds 2 pages, but 'channels' gives 3 name"):
        opened(two_detectors, channels=["BSE", "SE", "InLens"])


def test_two_channels_of_one_name_are_refused(two_detectors):
    with pytest.raises(UsageError, match="two channels are called 'bse'"):
        opened(two_detectors, channels=["BSE", "bse"])


@pytest.fixture
def files_beside(tmp_path):
    """Write three frames t0..t2, and files of another detector under names that a function makes."""

    def write(name, shape=(40, 60), count=3):
        for folder in ("bse", "more"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for number in range(3):
            tifffile.imwrite(tmp_path / "bse" / f"t{number}_BSE.tif", picture(number))
        for number in range(count):
            tifffile.imwrite(tmp_path / "more" / name(number), picture(20 + number, shape))
        return opened(tmp_path / "bse", channels=["BSE"], more_channels={"SE": str(tmp_path / "more")})

    return write


def test_files_of_another_detector_are_found_by_name_but_for_the_words_of_the_channels(files_beside):
    source = files_beside(lambda n: f"SE_t{n}.tif")
    assert source.notes == ()
    np.testing.assert_array_equal(np.rint(255 * source.read_channels(2)[1]), picture(22))


def test_files_with_other_names_are_taken_in_order_and_that_is_said(files_beside):
    source = files_beside(lambda n: f"scan{n + 7}.tif")
    np.testing.assert_array_equal(np.rint(255 * source.read_channels(2)[1]), picture(22))
    assert "taken in order" in source.notes[0]


def test_fewer_files_than_frames_are_refused(files_beside):
    with pytest.raises(InputError, match=r"channel 'SE': 2 file\(s\) for 3 frames"):
        files_beside(lambda n: f"scan{n}.tif", count=2)


def test_a_channel_at_half_resolution_is_enlarged_and_that_is_said(files_beside):
    source = files_beside(lambda n: f"t{n}.tif", shape=(20, 30))
    plane = np.rint(255 * source.read_channels(0)[1])
    np.testing.assert_array_equal(plane, picture(20, (20, 30)).repeat(2, axis=0).repeat(2, axis=1))
    assert "repeated 2 times" in source.notes[0]


def test_a_channel_of_another_size_is_refused_with_both_sizes(files_beside):
    with pytest.raises(InputError, match=r"channel 'SE': .* is 25 x 60 px, and its frame .* 40 x 60 px"):
        files_beside(lambda n: f"t{n}.tif", shape=(25, 60))


def test_a_damaged_file_of_a_channel_costs_its_frame_alone(files_beside, tmp_path):
    files_beside(lambda n: f"t{n}.tif")
    (tmp_path / "more" / "t1.tif").write_bytes(b"II*\0damaged")
    source = opened(tmp_path / "bse", channels=["BSE"], more_channels={"SE": str(tmp_path / "more")})
    assert [frame.name for frame in source.frames] == ["t0_BSE.tif", "t2_BSE.tif"]
    assert "channel 'SE'" in source.dropped[0].reason
