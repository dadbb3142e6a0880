"""Reads a .tflite file's graph: names, operators and their versions. The file may be damaged or hostile."""

from flatbuffers import number_types

from bduo_runtime._flatbuffer import MALFORMED, Table, root

__all__ = ["CONV_2D", "FULLY_CONNECTED", "LOGISTIC", "SOFTMAX", "Names", "check_versions", "maker", "signature_names"]

# Numbers of fields in schema.fbs' tables Model, SignatureDef, TensorMap, SubGraph, Operator and OperatorCode.
_OPERATOR_CODES, _SUBGRAPHS, _SIGNATURES = 1, 2, 7
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_KEY, _SIGNATURE_SUBGRAPH = 0, 1, 2, 4
_MAP_NAME, _MAP_TENSOR = 0, 1
_OPERATORS = 3
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_CODE_OF_A_BYTE, _CUSTOM_CODE, _VERSION, _CODE = 0, 1, 2, 3
# Values of its enumeration BuiltinOperator.
CONV_2D, FULLY_CONNECTED, LOGISTIC, SOFTMAX = 3, 9, 14, 25
_DEQUANTIZE, _RESHAPE, _TRANSPOSE, _SQUEEZE, _CAST, _EXPAND_DIMS, _QUANTIZE = 6, 22, 39, 43, 53, 70, 114
_SAME_VALUES = {_DEQUANTIZE, _RESHAPE, _TRANSPOSE, _SQUEEZE, _CAST, _EXPAND_DIMS, _QUANTIZE}
"""Operators whose output holds the values of their input in another type, shape or order."""

_MOST_OPERATORS = 1000
"""The operator that makes an output is looked for among so many at the end of the graph."""

Names = dict[int, list[str]]
"""The names of each tensor, by the tensor's index; a tensor that is two outputs has two names."""


def signature_names(content: bytes) -> tuple[Names, Names]:
    """The names that a file's signature gives to its inputs and outputs.

    If there are several signatures, that is the one called "serving_default", else the first.

    Returns:
        The names of the inputs and those of the outputs; both are empty where the main graph has no signature or a
        damaged one.
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
    """Finds the operator that computes the values of a tensor.

    Operators between the two that only write the same values in another form are passed over.

    Returns:
        The operator's number in BuiltinOperator; None if it cannot be found.
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
            builtin = max(  # old files have the number in a byte; new ones have numbers above 127 in the other field
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
    """Refuses a file with later versions of LCE's operators, since LiteRT does not tell a delegate the version.

    Raises:
        ValueError: the file has such an operator.
    """
    for code in root(content).tables(_OPERATOR_CODES):
        name = code.string(_CUSTOM_CODE)
        version = code.number(_VERSION, number_types.Int32Flags, default=1)
        if name.startswith("Lce") and version > 1:
            raise ValueError(f"{name} of version {version} is newer than bduo_runtime, which knows version 1")
