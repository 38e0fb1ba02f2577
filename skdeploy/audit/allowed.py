"""Which globals a model's pickle may import: classes of known packages, and functions by exact name."""

from __future__ import annotations

import re
from collections.abc import Collection

# Sub-packages whose classes are estimators and their parts. Neither utils, datasets nor externals:
# they have what reads files or runs things.
_ESTIMATORS = frozenset(
    "_loss base calibration cluster compose covariance cross_decomposition decomposition "
    "discriminant_analysis dummy ensemble feature_extraction feature_selection gaussian_process impute "
    "isotonic kernel_approximation kernel_ridge linear_model manifold metrics mixture model_selection "
    "multiclass multioutput naive_bayes neighbors neural_network pipeline preprocessing "
    "random_projection semi_supervised svm tree".split()
)
# Classes that such a module imports from elsewhere.
_FOREIGN = frozenset("Parallel Memory Path Popen Pool Thread Process Bunch".split())
_CLASS = re.compile(r"_{0,2}[A-Z][A-Za-z0-9]*\Z|Cy[A-Z][A-Za-z0-9]*\Z")
_EXACT = frozenset(
    """
    builtins.bool builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset
    builtins.int builtins.list builtins.object builtins.set builtins.slice builtins.str builtins.tuple
    builtins.bytearray builtins.range builtins.len
    collections.OrderedDict collections.Counter collections.defaultdict collections.deque
    copyreg._reconstructor datetime.datetime datetime.date datetime.timedelta datetime.timezone
    decimal.Decimal _codecs.encode functools.partial
    joblib.numpy_pickle.NumpyArrayWrapper
    numpy.ma.MaskedArray numpy.ma.core._mareconstruct
    numpy.ndarray numpy.dtype numpy.random._pickle.__randomstate_ctor numpy.random._pickle.__generator_ctor
    numpy.random._pickle.__bit_generator_ctor numpy.random._mt19937.MT19937 numpy.random._pcg64.PCG64
    numpy.random.mtrand.RandomState numpy.random.bit_generator.SeedSequence
    numpy.random.bit_generator.__pyx_unpickle_SeedSequence
    numpy._core.multiarray._reconstruct numpy._core.multiarray.scalar numpy._core.numeric._frombuffer
    numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar numpy.core.numeric._frombuffer
    numpy.abs numpy.absolute numpy.cbrt numpy.ceil numpy.clip numpy.cos numpy.exp numpy.exp2 numpy.expm1
    numpy.floor numpy.log numpy.log10 numpy.log1p numpy.log2 numpy.negative numpy.nan_to_num
    numpy.reciprocal numpy.rint numpy.round numpy.sign numpy.sin numpy.sqrt numpy.square numpy.tan
    numpy.tanh numpy.mean numpy.median numpy.max numpy.min numpy.sum
    numpy.bool numpy.bool_ numpy.float16 numpy.float32 numpy.float64 numpy.int8 numpy.int16 numpy.int32
    numpy.int64 numpy.uint8 numpy.uint16 numpy.uint32 numpy.uint64 numpy.str_ numpy.object_
    numpy.datetime64 numpy.timedelta64
    pandas.Index pandas.StringDtype pandas.arrays.ArrowStringArray
    pyarrow.lib._restore_array pyarrow.lib.py_buffer pyarrow.lib.type_for_alias
    pandas.core.frame.DataFrame pandas.core.series.Series pandas.DataFrame pandas.Series
    pandas.core.indexes.base.Index pandas.core.indexes.base._new_Index
    pandas.core.indexes.range.RangeIndex pandas.core.internals.managers.BlockManager
    pandas.core.internals.managers.SingleBlockManager pandas._libs.internals._unpickle_block
    pandas._libs.missing.NAType pandas._libs.missing.NA pandas._libs.tslibs.nattype._nat_unpickle
    pandas.core.dtypes.dtypes.CategoricalDtype pandas.core.arrays.categorical.Categorical
    pandas.core.arrays.string_.StringDtype
    scipy.sparse._csr.csr_matrix scipy.sparse._csc.csc_matrix scipy.sparse._coo.coo_matrix
    scipy.sparse._csr.csr_array scipy.sparse._csc.csc_array
    sklearn.feature_selection._univariate_selection.f_regression
    sklearn.feature_selection._univariate_selection.f_classif sklearn.feature_selection._univariate_selection.chi2
    sklearn.utils.validation.check_array sklearn.compose._column_transformer.make_column_selector
    sklearn.utils._bunch.Bunch sklearn.utils._random.RandomState
    sklearn.metrics._dist_metrics.newObj sklearn.neighbors._kd_tree.newObj sklearn.neighbors._ball_tree.newObj
    """.split()
)


def refusal(module: str, name: str, more: Collection[str] = ()) -> str | None:
    """Why a pickle may not import `module.name`, or None if it may.

    more   further globals that are allowed, each as module.name
    """
    if f"{module}.{name}" in _EXACT or f"{module}.{name}" in more:
        return None
    first, _, rest = module.partition(".")
    if first == "sklearn" and rest.partition(".")[0] in _ESTIMATORS:
        if name not in _FOREIGN and _CLASS.match(name):
            return None
        return "neither a class of scikit-learn's estimators nor a function on the list"
    return "not on the list"
