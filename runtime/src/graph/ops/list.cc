// The operators that this library knows. A new one is a file in this folder, which defines its OperatorType, and a line
// here.
#include "graph/ops/list.h"

#include <cstring>

#define BDUO_OPERATOR_TYPES(TYPE) \
  TYPE(quantize)                  \
  TYPE(dequantize)                \
  TYPE(conv)                      \
  TYPE(bit_pool)                  \
  TYPE(add)                       \
  TYPE(subtract)                  \
  TYPE(multiply)                  \
  TYPE(concatenation)             \
  TYPE(max_pool)

namespace bduo {
namespace ops {

#define BDUO_DECLARE(type) extern const OperatorType type;
BDUO_OPERATOR_TYPES(BDUO_DECLARE)
#undef BDUO_DECLARE

}  // namespace ops

const OperatorType* find_operator_type(int builtin, const char* custom_name) {
#define BDUO_ADDRESS(type) &ops::type,
  static const OperatorType* const kTypes[] = {BDUO_OPERATOR_TYPES(BDUO_ADDRESS)};
#undef BDUO_ADDRESS
  for (const OperatorType* type : kTypes) {
    if (type->builtin == builtin && (builtin != kTfLiteBuiltinCustom || std::strcmp(type->name, custom_name) == 0)) {
      return type;
    }
  }
  return nullptr;
}

}  // namespace bduo
