"""What a .tflite says of its graph: names, operators and their versions. Nothing of it is trusted."""

from flatbuffers import number_types

from bduo_runtime._flatbuffer import MALFORMED, Table, root

__all__ = ["CONV_2D", "FULLY_CONNECTED", "LOGISTIC", "SOFTMAX", "Names", "check_versions", "maker", "signature_names"]

# Places of fields in schema.fbs' Model, SignatureDef, TensorMap, SubGraph, Operator and OperatorCode ...
_OPERATOR_CODES, _SUBGRAPHS, _SIGNATURES = 1, 2, 7
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_KEY, _SIGNATURE_SUBGRAPH = 0, 1, 2, 4
_MAP_NAME, _MAP_TENSOR = 0, 1
_OPERATORS = 3
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_CODE_OF_A_BYTE, _CUSTOM_CODE, _VERSION, _CODE = 0, 1, 2, 3
# ... and values of its BuiltinOperator.
CONV_2D, FULLY_CONNECTED, LOGISTIC, SOFTMAX = 3, 9, 14, 25
_DEQUANTIZE, _RESHAPE, _TRANSPOSE, _SQUEEZE, _CAST, _EXPAND_DIMS, _QUANTIZE = 6, 22, 39, 43, 53, 70, 114
_SAME_VALUES = {_DEQUANTIZE, _RESHAPE, _TRANSPOSE, _SQUEEZE, _CAST, _EXPAND_DIMS, _QUANTIZE}
"""Operators that write what they read, in another type, shape or order."""

_MOST_OPERATORS = 1000
"""So many from the end are looked through for what makes an output."""

Names = dict[int, list[str]]
"""The names of tensors by their indices; a tensor that is returned twice has two."""


def signature_names(content: bytes) -> tuple[Names, Names]:
    """What the file's signature, "serving_default" before others, calls its inputs and its outputs.

    Both are empty where there is no signature of the main graph, or a damaged one.
    """
    try:
        signatures = [s for s in root(content).tables(_SIGNATURES) if _unsigned(s, _SIGNATURE_SUBGRAPH) == 0]
        signature = min(signatures, key=lambda s: s.string(_SIGNATURE_KEY) != "serving_default", default=None)
        if signature is None:
            return {}, {}
        return _names(signature, _SIGNATURE_INPUTS), _names(signature, _SIGNATURE_OUTPUTS)
    except MALFORMED:
        return {}, {}


def _names(signature: Table, field: int) -> Names:
    found: Names = {}
    for entry in signature.tables(field):
        found.setdefault(_unsigned(entry, _MAP_TENSOR), []).append(entry.string(_MAP_NAME))
    return found


def maker(content: bytes, tensor: int) -> int | None:
    """The operator that computes a tensor, those after it that only write the same values otherwise left out.

    Returns:
        Its number in BuiltinOperator, None if that cannot be found.
    """
    try:
        file = root(content)
        graph = file.item(_SUBGRAPHS, 0)
        count = graph.length(_OPERATORS)
        for i in reversed(range(max(0, count - _MOST_OPERATORS), count)):
            operator = graph.item(_OPERATORS, i)
            if tensor not in operator.numbers(_OPERATOR_OUTPUTS, number_types.Int32Flags):
                continue
            code = file.item(_OPERATOR_CODES, _unsigned(operator, _OPERATOR_CODE))
            builtin = max(  # old files have it in a byte, new ones the rest of it in the other field
                code.number(_CODE_OF_A_BYTE, number_types.Int8Flags), code.number(_CODE, number_types.Int32Flags)
            )
            if builtin not in _SAME_VALUES:
                return builtin
            tensor = operator.numbers(_OPERATOR_INPUTS, number_types.Int32Flags)[0]
    except MALFORMED:
        pass
    return None


def _unsigned(table: Table, field: int) -> int:
    return table.number(field, number_types.Uint32Flags)


def check_versions(content: bytes) -> None:
    """Refuses LCE's operators of a later version; LiteRT does not tell a delegate which one a file is for.

    Raises:
        ValueError: the file has one.
    """
    for code in root(content).tables(_OPERATOR_CODES):
        name = code.string(_CUSTOM_CODE)
        version = code.number(_VERSION, number_types.Int32Flags, default=1)
        if name.startswith("Lce") and version > 1:
            raise ValueError(f"{name} of version {version} is newer than bduo_runtime, which knows version 1")
