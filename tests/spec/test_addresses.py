"""An address and the folder of its copy spell each other, and no key or password gets any further."""

from __future__ import annotations

from pathlib import Path

import pytest

from reno.config.checks import folder, store_folder
from reno.spec.addresses import address_of, copy_folder, named
from reno.spec.errors import BadInput


@pytest.fixture(autouse=True)
def stores(monkeypatch, tmp_path):
    monkeypatch.setenv("RENO_STORES", str(tmp_path / "stores"))
    return tmp_path / "stores"


@pytest.mark.parametrize(
    "address, name",
    [
        ("s3://bucket/study", "s3+bucket+study"),
        ("s3://bucket/a/b c/é+x", "s3+bucket+a+b c+%C3%A9%2Bx"),
        ("gs://bucket", "gs+bucket"),
        ("hf://datasets/me/study", "hf+datasets+me+study"),
        ("memory://study", "memory+study"),
    ],
)
def test_the_folder_spells_the_address(stores, address, name):
    assert copy_folder("results", address) == stores / name
    assert address_of(stores / name) == named(stores / name) == address


def test_spellings_of_one_address_have_one_folder():
    one = copy_folder("results", "gs://bucket/study")
    assert copy_folder("results", "GCS://bucket/study/") == one == store_folder("results", "gs://bucket/study")


def test_other_folders_are_no_copies(stores, tmp_path):
    for place in (tmp_path, stores, stores / "s3", stores / "other+x", stores / "s3+b" / "trials", Path("s3+b")):
        assert address_of(place) is None
    assert named(Path("results")) == "results"


@pytest.mark.parametrize("address", [
    "s3://KEY:SECRET@bucket/x", "s3://SECRET@bucket", "gs://b/x?token=SECRET", "s3://bucket/user:SECRET@y",
    "s3:KEY:SECRET@bucket", "hf://datasets/me/user:SECRET@y",
])  # fmt: skip
def test_a_key_in_an_address_is_refused_and_not_repeated(address):
    with pytest.raises(BadInput, match="credentials come from the environment") as error:
        copy_folder("results", address)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    "address, said",
    [
        ("ftp://host/x", "a store at ftp:// is not known; use a folder, or s3://, gs://, hf://"),
        ("s4://bucket", "did you mean 's3://'"),
        ("s3://", "write s3://BUCKET/STUDY"),
        ("s3://bucket//x", "write s3://BUCKET/STUDY"),
        ("s3://bucket/../x", "write s3://BUCKET/STUDY"),
        ("hf://me/study", "not a data set of the hub"),
        ("s3:/bucket/x", "results=s3:/bucket/x is not an address, which has two slashes; write s3://bucket/x"),
        ("S3:bucket/x", "write s3://bucket/x"),
        ("gcs:bucket", "write gs://bucket"),
        ("s3:", "write s3://BUCKET/STUDY"),
        ("s3://bucket/" + "x" * 300, "more than a folder's name takes"),
    ],
)
def test_what_is_no_address_is_refused(address, said):
    with pytest.raises(BadInput) as error:
        store_folder("results", address)
    assert said in str(error.value)


@pytest.mark.parametrize("path", ["s3", "s3/x", "./s3:x", "other:x", "c:/x", "memory:x"])
def test_other_folders_are_folders(path):
    assert store_folder("results", path) == Path(path)


def test_a_knob_that_is_no_store_takes_no_address():
    with pytest.raises(BadInput, match="out must be a folder of this machine"):
        folder("out", "s3://bucket/report")


def test_a_name_with_an_at_sign_is_no_password():
    assert copy_folder("results", "s3://bucket/a:b/c@d").name == "s3+bucket+a%3Ab+c@d"
