"""Made pickles, and why each is refused."""

import re

import pytest

from skdeploy.audit import audit

_LIST = "not on the list"
_CLASS = "neither a class of scikit-learn's estimators nor a function on the list"
REFUSED = {
    "memoized names": (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93.", "os.system", _LIST),
    "dots in a name": (
        b"\x80\x04\x8c\x05numpy\x8c\x10testing.runtests\x93.",
        "numpy.testing.runtests",
        _LIST,
    ),
    "a dotted class": (
        b"\x80\x04csklearn.pipeline\nPipeline.fit\n.",
        "sklearn.pipeline.Pipeline.fit",
        _CLASS,
    ),
    "a name imported": (
        b"\x80\x04csklearn.tree._export\nStringIO\n.",
        "sklearn.tree._export.StringIO",
        _CLASS,
    ),
    "a fetcher": (b"\x80\x04csklearn.datasets\nfetch_openml\n.", "sklearn.datasets.fetch_openml", _LIST),
    "an opener": (b"\x80\x04cnumpy\nmemmap\n.", "numpy.memmap", _LIST),
    "tests": (
        b"\x80\x04csklearn.svm.tests.test_svm\nX\n.",
        "sklearn.svm.tests.test_svm.X",
        "scikit-learn's tests, whose import runs code that no model needs",
    ),
}
LOST = {
    "inst": (b"(ios\nsystem\n.", "imported in a way that no model needs"),
    "obj": (b"(cos\nsystem\nX\x01\x00\x00\x00xo.", "OBJ"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "state for a callable": (b"\x80\x04cfunctools\npartial\n}b.", "a state is given to what was not made"),
    "a call of what was made": (b"\x80\x04cfunctools\npartial\ncbuiltins\nlen\n\x85R)R.", "is no global"),
    "a codec that unpacks": (b"\x80\x04c_codecs\nencode\nC\x01x\x8c\x03zip\x86R.", "than latin1"),
}


@pytest.mark.parametrize(("content", "name", "why"), REFUSED.values(), ids=list(REFUSED))
def test_refused_by_name(content: bytes, name: str, why: str) -> None:
    """The global is found under its name, and refused for its own reason."""
    assert [(f.name, f.why) for f in audit(content).findings] == [(name, why)]


@pytest.mark.parametrize(("content", "why"), LOST.values(), ids=list(LOST))
def test_refused_by_opcode(content: bytes, why: str) -> None:
    """What no model needs ends the walk, and the report says what it was."""
    lost = audit(content).lost
    assert lost is not None
    assert re.search(why, lost)
