import contextlib
import io
import logging
import random
import resource
import signal
import sys
import threading
import traceback
import zipfile
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import kagglehub.config
import pytest
from helpers import write_pair
from kaggle_server import SIGNATURE, TOKEN, FakeKaggle

from carvana_lib.base.errors import CarvanaError
from carvana_lib.base.files import locked
from carvana_lib.cli.main import main
from carvana_lib.data import find_data, list_pairs
from carvana_lib.prepare import download as download_module
from carvana_lib.prepare.download import download
from carvana_lib.prepare.unpack import unpack


def pack(folder: Path) -> bytes:
    """A folder as Kaggle packs it: under its own name, with what macOS adds."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{folder.name}/", b"")
        archive.writestr(f"__MACOSX/{folder.name}/._x.jpg", b"macOS")
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return packed.getvalue()


@pytest.fixture(scope="module")
def zips(tmp_path_factory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("kaggle")
    for number in range(10, 14):
        write_pair(root, number, 1)
    return {f"{name}.zip": pack(root / name) for name in ("train", "train_masks")}


@pytest.fixture
def kaggle(zips, monkeypatch, tmp_path):
    """The server, a home with its token, and a clock that does not wait."""
    server = FakeKaggle(dict(zips))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kagglehub.config, "DEFAULT_KAGGLE_CREDENTIALS_FOLDER", str(tmp_path / "home" / ".kaggle"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    monkeypatch.setattr(download_module, "FILES", server.address)
    waits = []
    monkeypatch.setattr(download_module, "sleep", waits.append)
    server.waits = waits
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data" / "carvana"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def test_photos_and_masks_arrive_where_find_data_looks(kaggle, folder, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["download"]) == 0
    assert "Next: carvana check-data data/carvana" in capsys.readouterr().out
    assert names(folder) == ["train", "train_masks"]
    assert len(list_pairs(folder)) == 4
    monkeypatch.setattr("carvana_lib.data.KAGGLE_INPUT", tmp_path / "nothing")
    assert find_data().resolve() == folder
    asked = len(kaggle.requests)
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    assert main(["download"]) == 0
    assert "nothing to download" in capsys.readouterr().out
    assert len(kaggle.requests) == asked


def test_the_token_goes_to_kaggle_and_nowhere_else(kaggle, folder):
    download(folder, progress=False)
    for server, _, headers in kaggle.requests:
        assert ("Authorization" in headers) == (server == "api")


@pytest.mark.parametrize(
    "way",
    ["variable", "file", "access_token", "pair", "kaggle.json", "config folder", "Kaggle", "Colab", "Colab's pair"],
)
def test_a_token_is_found_where_kaggles_programs_look(kaggle, folder, monkeypatch, tmp_path, way):
    home = tmp_path / "home" / ".kaggle"
    home.mkdir(parents=True)
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (tmp_path / "token").write_text(TOKEN + "\n")
    pair = f'{{"username":"me","key":"{TOKEN}"}}'
    if way == "variable":
        monkeypatch.setenv("KAGGLE_API_TOKEN", f" {TOKEN}\n")
    elif way == "file":
        monkeypatch.setenv("KAGGLE_API_TOKEN", str(tmp_path / "token"))
    elif way == "access_token":
        (home / "access_token").write_text(TOKEN)
    elif way == "pair":
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", TOKEN)
    elif way == "kaggle.json":
        (home / "kaggle.json").write_text(pair)
    elif way == "config folder":
        (tmp_path / "kaggle.json").write_text(pair)
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    elif way == "Kaggle":
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
        monkeypatch.setenv("KAGGLE_DATA_PROXY_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("KAGGLE_API_V1_TOKEN", str(tmp_path / "token"))
    else:
        monkeypatch.setattr(kagglehub.config, "is_in_colab_notebook", lambda: True)
        secrets = {"KAGGLE_API_TOKEN": TOKEN} if way == "Colab" else {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": TOKEN}
        userdata = SimpleNamespace(get=lambda name: secrets.get(name, ""))
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(userdata=userdata))
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4


def test_without_a_token_it_says_where_to_get_one(kaggle, folder, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    with pytest.raises(
        CarvanaError, match=r"found no Kaggle token in .* ~/\.kaggle: make one at https://www\.kaggle\.com/settings"
    ):
        download(folder)
    assert kaggle.requests == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not json", r"cannot read .*\(Invalid Kaggle credentials file at .*kaggle\.json\): make one at"),
        (b"[1]", r"cannot read .*\(Kaggle credentials file at .*kaggle\.json is missing 'username' key\)"),
        (b"{}", r"cannot read .*kaggle\.json is missing 'username' key"),
        (b'{"username": 1, "key": 2}', "no Kaggle token"),
        (b'{"username": "me", "key": ""}', "no Kaggle token"),
        (b"[" * 100_000, r"cannot read a Kaggle token in .*~/\.kaggle \("),
        ('{"username": "me", "key": "k"}'.encode("utf-16"), r"cannot read a Kaggle token in .*~/\.kaggle \("),
    ],
)
def test_a_file_that_holds_no_token_is_refused(kaggle, folder, monkeypatch, tmp_path, content, message):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (tmp_path / "kaggle.json").write_bytes(content)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(CarvanaError, match=message):
        download(folder)
    assert kaggle.requests == []


@pytest.mark.parametrize("place", ["~/token", "/missing/token", "C:\\missing\\token"])
def test_a_path_is_never_sent_as_a_token(kaggle, folder, monkeypatch, place):
    monkeypatch.setenv("KAGGLE_API_TOKEN", place)
    with pytest.raises(CarvanaError, match=r"found no Kaggle token in \$KAGGLE_API_TOKEN"):
        download(folder, progress=False)
    assert kaggle.requests == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (401, r"\(401\): it does not accept the token in \$KAGGLE_API_TOKEN.*; make one at"),
        (403, r"accept the competition's rules at https://www\.kaggle\.com/c/carvana-image-masking-challenge/rules"),
        (404, r"Kaggle does not give train\.zip \(404\): .*download it by hand"),
    ],
)
def test_what_only_the_user_can_mend_is_said_at_once(kaggle, folder, answer, message):
    kaggle.answers = [answer]
    with pytest.raises(CarvanaError, match=message):
        download(folder, progress=False)
    assert len(kaggle.requests) == 1
    # An empty folder would be taken for the data.
    assert not folder.exists()


def test_a_wrong_token_is_refused(kaggle, folder, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "wrong")
    with pytest.raises(CarvanaError, match="does not accept the token"):
        download(folder, progress=False)


def test_a_log_in_page_is_not_taken_for_the_photos(kaggle, folder):
    kaggle.page = True
    with pytest.raises(CarvanaError, match=r"a web page came in place of train\.zip"):
        download(folder, progress=False)
    assert names(folder) == []


@pytest.mark.parametrize(
    "answers",
    [
        [500],
        [502, 503, 500],
        [(429, {"Retry-After": "7"})],
        [429],
        [(503, {"Content-Type": "text/html"}, b"Try later")],
        [(429, {"Retry-After": "²"})],
        [(429, {"Retry-After": "9" * 5000})],
        [(302, {"Location": "http://[::1"})],
        [(302, {"Location": "http://ÿ/"})],
    ],
)
def test_passing_faults_are_waited_out(kaggle, folder, answers):
    kaggle.answers = list(answers)
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4
    assert kaggle.waits == ([7] if answers[0] == (429, {"Retry-After": "7"}) else [1, 2, 4][: len(answers)])


@pytest.mark.parametrize(
    ("answers", "message", "waits"),
    [
        ([500] * 9, "error 500; run the same command later", [1, 2, 4, 8]),
        ([(429, {"Retry-After": "3600"})], "error 429; run the same command in 60 minutes", []),
        ([(429, {"Retry-After": "1"})] * 9, "error 429; run the same command later", [1] * 4),
    ],
)
def test_waiting_has_an_end(kaggle, folder, answers, message, waits):
    kaggle.answers = answers
    with pytest.raises(CarvanaError, match=message):
        download(folder, progress=False)
    assert kaggle.waits == waits


def test_cut_at_ten_points_it_goes_on_from_there(kaggle, folder, zips, monkeypatch):
    monkeypatch.setattr(download_module, "CHUNK", 64)
    size = len(zips["train.zip"])
    kaggle.cuts = [random.Random(0).randrange(size // 20, size // 11) for _ in range(10)]
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4
    asked = [headers.get("Range") for server, _, headers in kaggle.requests if server == "storage"]
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in asked[1:11]]
    for cut, before, start in zip(kaggle.sent_cuts, [0, *starts], starts, strict=False):
        # At most the last chunk is lost, and the last byte is asked for again.
        assert cut - 65 <= start - before <= cut - 1


def test_an_error_page_is_not_taken_for_the_rest_of_a_partial_file(kaggle, folder, zips):
    kaggle.sums = False
    kaggle.cuts = [len(zips["train.zip"]) // 2]
    kaggle.middle = lambda: kaggle.answers.append((503, {}, b"Try later"))
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4
    asked = [headers.get("Range") for _, _, headers in kaggle.requests]
    # API, storage, then 503 from the API, then API and storage again for the rest.
    assert asked[0] is asked[1] is None
    assert asked[2] == asked[3] == asked[4] is not None


def test_another_part_of_the_file_is_not_taken_for_its_rest(kaggle, folder, zips):
    kaggle.sums = False
    folder.mkdir(parents=True)
    (folder / "train.zip.part").write_bytes(zips["train.zip"][:500])
    kaggle.answers = [(206, {"Content-Range": "bytes 0-9/100"}, b"0123456789")]
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4


def test_a_server_without_range_is_asked_for_all_of_it_again(kaggle, folder, zips):
    kaggle.ranges = False
    kaggle.cuts = [len(zips["train.zip"]) // 2, 100]
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4


def test_a_zip_is_verified_when_all_of_it_is_there_already(kaggle, folder, zips):
    folder.mkdir(parents=True)
    (folder / "train.zip.part").write_bytes(zips["train.zip"])
    download(folder, progress=False)
    assert kaggle.requests[1][2]["Range"] == f"bytes={len(zips['train.zip']) - 1}-"
    assert len(list_pairs(folder)) == 4


def test_a_partial_file_of_something_else_is_thrown_away(kaggle, folder, zips):
    folder.mkdir(parents=True)
    (folder / "train.zip.part").write_bytes(b"x" * 100)
    (folder / "train_masks.zip.part").write_bytes(b"x" * (len(zips["train_masks.zip"]) + 100))
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4


def test_a_spoilt_byte_is_noticed_and_fetched_again(kaggle, folder):
    kaggle.spoil = 1
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4


def test_a_file_that_is_always_spoilt_is_refused(kaggle, folder):
    kaggle.spoil = 99
    with pytest.raises(CarvanaError, match=r"train\.zip came twice with a wrong MD5 checksum"):
        download(folder, progress=False)
    assert names(folder) == []


def test_without_a_checksum_the_zip_itself_shows_the_spoilt_byte(kaggle, folder):
    kaggle.sums, kaggle.spoil = False, 1
    kaggle.files["train.zip"] += b"\0" * 10
    with pytest.raises(CarvanaError, match=r"train\.zip is (damaged|not unpacked)"):
        download(folder, progress=False)
    assert not (folder / "train").exists()


def test_a_file_shorter_than_announced_is_never_complete(kaggle, folder):
    kaggle.extra = 1000
    with pytest.raises(CarvanaError, match=r"train\.zip is not complete: .*run the same command later to continue"):
        download(folder, progress=False)
    assert names(folder) == ["train.zip.part"]
    with pytest.raises(CarvanaError, match=r"half downloaded: `carvana download"):
        find_data(folder)


def test_a_silent_server_is_given_up(kaggle, folder, monkeypatch):
    kaggle.pause = 5
    monkeypatch.setattr(download_module, "TIMEOUT", (1, 0.1))
    monkeypatch.setattr(download_module, "ATTEMPTS", 2)
    with pytest.raises(CarvanaError, match="silent for"):
        download(folder, progress=False)


def test_no_connection(kaggle, folder, monkeypatch):
    monkeypatch.setattr(download_module, "FILES", "http://127.0.0.1:9")
    with pytest.raises(CarvanaError, match="no connection"):
        download(folder, progress=False)


def test_a_disk_too_small_is_seen_before_the_download(kaggle, folder, monkeypatch):
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(CarvanaError, match=r"cannot write to .*are missing, the disk has 0 MB\): free some space"):
        download(folder, progress=False)


def test_a_disk_that_fills_up_keeps_what_came(kaggle, folder, zips):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(CarvanaError, match=r"cannot write to .*carvana \(.*free some space"):
            download(folder, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(folder) == ["train.zip.part"]
    assert (folder / "train.zip.part").read_bytes() == zips["train.zip"][:3000]
    download(folder, progress=False)
    assert kaggle.requests[3][2]["Range"] == "bytes=2999-"
    assert len(list_pairs(folder)) == 4


def test_zips_that_are_there_need_no_connection(kaggle, folder, zips, tmp_path):
    for name, content in zips.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CarvanaError, match=r"still packed: .*`carvana download FOLDER --zips"):
        list_pairs(tmp_path)
    assert main(["download", str(folder), "--zips", str(tmp_path)]) == 0
    assert len(list_pairs(folder)) == 4
    assert (tmp_path / "train.zip").exists()
    assert kaggle.requests == []


@pytest.mark.parametrize("unpacked", ["train", "train_masks"])
def test_what_is_unpacked_beside_the_zips_is_taken_as_it_is(kaggle, folder, zips, tmp_path, unpacked):
    """The advice for a zip beside an unpacked folder is a command that works."""
    place = tmp_path / "place"
    for name, content in zips.items():
        new = place / name
        place.mkdir(exist_ok=True)
        new.write_bytes(content)
    unpack(place / f"{unpacked}.zip", place / unpacked, progress=False)
    (place / f"{unpacked}.zip").unlink()
    with pytest.raises(CarvanaError, match=rf"still packed: .*`carvana download FOLDER --zips {place}`"):
        list_pairs(place)
    assert main(["download", str(folder), "--zips", str(place)]) == 0
    assert names(folder) == ["train", "train_masks"]
    assert len(list_pairs(folder)) == 4
    assert kaggle.requests == []


def test_masks_still_packed_beside_train_hq_are_unpacked_with_hq(kaggle, folder, zips, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "train_masks.zip").write_bytes(zips["train_masks.zip"])
    (tmp_path / "train.zip").write_bytes(zips["train.zip"])
    unpack(tmp_path / "train.zip", place / "train_hq", progress=False)
    with pytest.raises(CarvanaError, match=rf"still packed: .*`carvana download FOLDER --zips {place} --hq`"):
        list_pairs(place)
    assert main(["download", str(folder), "--zips", str(place), "--hq"]) == 0
    assert names(folder) == ["train_hq", "train_masks"]
    assert len(list_pairs(folder)) == 4


def test_ctrl_c_keeps_the_part_and_says_how_to_go_on(kaggle, folder, zips, capsys):
    main_thread = threading.main_thread().ident
    part = folder / "train.zip.part"

    def interrupt():
        while not part.exists():
            sleep(0.01)
        signal.pthread_kill(main_thread, signal.SIGINT)

    kaggle.middle, kaggle.pause = interrupt, 0.5
    # A shell makes what it starts in the background ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["download", str(folder)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert f"stopped; `carvana download {folder}` continues" in capsys.readouterr().err
    assert names(folder) == ["train.zip.part"]
    kaggle.middle, kaggle.pause = None, 0
    download(folder, progress=False)
    assert len(list_pairs(folder)) == 4


def faults(kaggle, monkeypatch, folder):
    """Set up every way to fail, one after the other. `folder`: for a file with a token."""
    for code in (400, 401, 403, 404, 500, (429, {"Retry-After": "999"})):
        kaggle.answers = [code] * 99
        yield
    kaggle.answers, kaggle.page = [], True
    yield
    kaggle.page, kaggle.spoil = False, 99
    yield
    kaggle.spoil, kaggle.extra = 0, 1000
    yield
    monkeypatch.setattr(download_module, "FILES", "http://127.0.0.1:9")
    yield
    monkeypatch.setattr(download_module, "FILES", "no address")
    yield
    page = f"https://www.kaggle.com/?token={TOKEN}"
    for token in (f"{TOKEN} {TOKEN}", f"{TOKEN}\x07", f"{TOKEN}é", f"{TOKEN}/", f"~{TOKEN}", page, 20 * TOKEN):
        monkeypatch.setenv("KAGGLE_API_TOKEN", token)
        yield
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder))
    for text in (f'{{"username": "me", "key": "{TOKEN}"', f'{{"username": "{TOKEN}"}}', f'["{TOKEN}"]', TOKEN):
        (folder / "kaggle.json").write_text(text)
        yield


def test_the_token_and_signed_addresses_never_show(kaggle, folder, monkeypatch, tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    shown = []
    for _ in faults(kaggle, monkeypatch, tmp_path):
        with contextlib.suppress(OSError):
            (folder / "train.zip.part").unlink()
        for debug in ([], ["--debug"]):
            try:
                assert main(["download", str(folder), *debug]) == 1
            except CarvanaError:
                shown.append(traceback.format_exc())
    output = capsys.readouterr()
    # urllib3 logs addresses when it is asked to log everything; that is its user's choice.
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    text = output.out + output.err + ours + "".join(shown)
    assert text.count("carvana: ") == len(shown) == 22
    assert "Traceback" in text
    for secret in (TOKEN, SIGNATURE):
        assert secret not in text
    assert TOKEN not in caplog.text


def test_a_token_does_not_show_itself(kaggle, monkeypatch):
    bearer = download_module._token()
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", TOKEN)
    basic = download_module._token()
    assert type(bearer) is not type(basic)
    assert TOKEN not in f"{bearer} {bearer!r} {basic} {basic!r}"


@pytest.mark.parametrize("kind", ["application/json", "TEXT/HTML", None])
def test_a_log_in_page_of_any_kind_leaves_what_came_before(kaggle, folder, zips, kind):
    folder.mkdir(parents=True)
    (folder / "train.zip.part").write_bytes(zips["train.zip"][:500])
    kaggle.answers = [(200, {"Content-Type": kind} if kind else {}, b"{Log in}")]
    with pytest.raises(CarvanaError, match=r"a web page came in place of train\.zip"):
        download(folder, progress=False)
    assert (folder / "train.zip.part").read_bytes() == zips["train.zip"][:500]


def test_a_server_that_starts_from_zero_each_time_is_given_up(kaggle, folder, zips, monkeypatch):
    monkeypatch.setattr(download_module, "CHUNK", 64)
    kaggle.ranges = False
    kaggle.cuts = [300, 200] * 20
    with pytest.raises(CarvanaError, match="is not complete"):
        download(folder, progress=False)
    assert len(kaggle.waits) < 6


def test_high_quality_is_not_forgotten(kaggle, folder, zips, tmp_path):
    place = tmp_path / "my data"
    place.mkdir()
    (place / "train_hq.zip.part").write_bytes(b"PK")
    with pytest.raises(CarvanaError, match=r"`carvana download '.*my data' --hq` goes on"):
        find_data(place)
    (place / "train_hq.zip.part").rename(place / "train_hq.zip")
    with pytest.raises(CarvanaError, match=r"--zips '.*my data' --hq`"):
        find_data(place)
    (folder / "train").mkdir(parents=True)
    with pytest.raises(CarvanaError, match=r"train exists and would be read instead of train_hq/"):
        download(folder, hq=True, progress=False)


def test_a_zip_in_place_of_the_zips_folder(kaggle, folder, tmp_path):
    (tmp_path / "train.zip").touch()
    with pytest.raises(CarvanaError, match=r"train\.zip is not a folder: name the one that holds train\.zip and"):
        download(folder, zips=tmp_path / "train.zip", progress=False)


def test_ones_own_empty_folder_stays(kaggle, folder, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    folder.mkdir(parents=True)
    with pytest.raises(CarvanaError, match="no Kaggle token"):
        download(folder, progress=False)
    assert folder.is_dir()


def test_two_that_unpack_at_once_leave_each_other_alone(folder, zips, tmp_path):
    (tmp_path / "train.zip").write_bytes(zips["train.zip"])
    building = folder / ".train.unpacking"
    building.mkdir(parents=True)
    (building / "half.jpg").touch()
    with locked(folder / ".train.lock", "in use"):
        with pytest.raises(CarvanaError, match=r"another process unpacks to .*train: wait until it is done"):
            unpack(tmp_path / "train.zip", folder / "train", progress=False)
        with pytest.raises(CarvanaError, match=r"no file .*nosuch\.zip"):
            unpack(tmp_path / "nosuch.zip", folder / "train", progress=False)
        assert (building / "half.jpg").exists()
    assert unpack(tmp_path / "train.zip", folder / "train", progress=False) == 4
    assert names(folder) == ["train"]


def test_a_name_too_long_for_a_disk_is_refused(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr("train/" + "ä" * 130 + ".jpg", b"photo")
    with pytest.raises(CarvanaError, match="has a name that not every system can write"):
        unpack(tmp_path / "train.zip", folder, progress=False)
