// A bounds-checked reader of what the fuzzing host needs of a .tflite file. Numbers of fields are those of TFLite's
// schema.
#include "model.h"

#include <cstring>
#include <iterator>

namespace bduo::fuzz {
namespace {

constexpr size_t kMost = 512;  // tensors, operators, and elements of a vector that is not data
constexpr int kMostDimensions = 6;

class Reader {
 public:
  Reader(const uint8_t* file, size_t size, std::vector<Field>* fields) : file_(file), size_(size), fields_(fields) {}

  bool ok() const { return ok_; }
  bool check(bool condition) { return ok_ = ok_ && condition; }

  template <class T>
  T scalar(size_t at) {
    T value{};
    if (check(at <= size_ && size_ - at >= sizeof(T))) std::memcpy(&value, file_ + at, sizeof(T));
    return value;
  }

  // Where the offset at `at` points to.
  size_t follow(size_t at) { return at + scalar<uint32_t>(at); }

  // Where a table's field lies, 0 if it is not there.
  size_t field(size_t table, int number) {
    const size_t vtable = table - static_cast<size_t>(scalar<int32_t>(table));
    const auto vtable_size = scalar<uint16_t>(vtable);
    const size_t entry = 4 + 2 * static_cast<size_t>(number);
    const uint16_t offset = entry + 2 <= vtable_size ? scalar<uint16_t>(vtable + entry) : uint16_t{0};
    return ok_ && offset ? table + offset : 0;
  }

  template <class T>
  T value(size_t table, int number, T otherwise, Field::Kind kind) {
    const size_t at = field(table, number);
    if (!at) return otherwise;
    note(kind, at, 1);
    return scalar<T>(at);
  }

  size_t child(size_t table, int number) {
    const size_t at = field(table, number);
    return at ? follow(at) : 0;
  }

  // A vector's first element and length; a missing one is empty.
  size_t vector(size_t table, int number, size_t element, size_t most, size_t* count) {
    *count = 0;
    const size_t at = child(table, number);
    if (!at) return 0;
    const auto length = scalar<uint32_t>(at);
    if (!check(at % 4 == 0 && length <= most && (size_ - at - 4) / element >= length)) return 0;
    *count = length;
    return at + 4;
  }

  template <class T>
  std::vector<T> values(size_t table, int number, Field::Kind kind, size_t most = kMost) {
    size_t count;
    const size_t at = vector(table, number, sizeof(T), most, &count);
    std::vector<T> result(count);
    if (count) {
      std::memcpy(result.data(), file_ + at, count * sizeof(T));
      note(kind, at, count);
    }
    return result;
  }

  Bytes bytes(size_t table, int number, Field::Kind kind) {
    Bytes result;
    const size_t at = vector(table, number, 1, size_, &result.size);
    if (!result.size) return {};
    result.data = file_ + at;
    note(kind, at, kind == Field::kData ? result.size / 4 : result.size);
    return result;
  }

  // Notes that the vector of bytes here should have another length. False if it cannot have that.
  bool correct(Bytes content, size_t length) {
    const auto at = static_cast<size_t>(content.data - file_);
    if (!fields_ || length == 0 || length > size_ - at) return false;
    note(Field::kLength, at - 4, length);
    return true;
  }

  std::vector<size_t> tables(size_t table, int number) {
    size_t count;
    const size_t at = vector(table, number, 4, kMost, &count);
    std::vector<size_t> result;
    for (size_t i = 0; i < count; ++i) result.push_back(follow(at + 4 * i));
    return result;
  }

 private:
  void note(Field::Kind kind, size_t at, size_t count) {
    if (ok_ && fields_ && count) fields_->push_back({kind, at, count});
  }

  const uint8_t* file_;
  size_t size_;
  std::vector<Field>* fields_;
  bool ok_ = true;
};

// TFLite's number of the schema's type, 0 if there is none that the host takes.
int to_type(int type) {
  constexpr int kTypes[] = {kTfLiteFloat32, 10, kTfLiteInt32, 3, 4, kTfLiteString, kTfLiteBool, 7, 8, kTfLiteInt8, 11};
  return type >= 0 && type < static_cast<int>(std::size(kTypes)) ? kTypes[type] : kTfLiteNoType;
}

int to_activation(int activation) { return activation >= 0 && activation <= 5 ? activation : kTfLiteActNone; }

void read_quantization(Reader& reader, size_t table, ModelTensor* tensor) {
  const auto scales = reader.values<float>(table, 2, Field::kFloat);
  const auto zero_points = reader.values<int64_t>(table, 3, Field::kLong);
  if (!reader.check(scales.size() == zero_points.size()) || scales.size() != 1) return;
  tensor->scale = scales[0];
  tensor->zero_point = static_cast<int32_t>(zero_points[0]);
}

ModelTensor read_tensor(Reader& reader, size_t table, const std::vector<size_t>& buffers) {
  ModelTensor tensor;
  tensor.shape = reader.values<int32_t>(table, 0, Field::kSize, kMostDimensions);
  tensor.type = to_type(reader.value<int8_t>(table, 1, 0, Field::kEnum));
  const auto buffer = reader.value<uint32_t>(table, 2, 0, Field::kIndex);
  if (const size_t quantization = reader.child(table, 4)) read_quantization(reader, quantization, &tensor);
  tensor.variable = reader.value<uint8_t>(table, 5, 0, Field::kEnum) != 0;
  tensor.sparse = reader.child(table, 6) != 0;
  if (!reader.check(tensor.type != kTfLiteNoType && buffer < buffers.size())) return tensor;
  if (buffer) tensor.content = reader.bytes(buffers[buffer], 0, Field::kData);
  size_t bytes = 0;
  const bool sized = element_size(tensor.type) != 0;
  if (sized) reader.check(tensor_bytes(tensor.type, tensor.shape.data(), tensor.shape.size(), &bytes));
  // The host refuses constants of the wrong length, and variables with content.
  if (!reader.ok() || !tensor.content.data) return tensor;
  reader.check(!tensor.variable && (!sized || tensor.sparse || bytes == tensor.content.size || reader.correct(tensor.content, bytes)));
  return tensor;
}

void read_builtin(Reader& reader, size_t table, ModelOperator* op) {
  const int type = reader.value<uint8_t>(table, 3, 0, Field::kEnum);
  const size_t options = reader.child(table, 4);
  auto number = [&](int field, int wanted) { return type == wanted ? reader.value<int32_t>(options, field, 0, Field::kSize) : 0; };
  auto byte = [&](int field, int wanted) { return type == wanted ? int{reader.value<int8_t>(options, field, 0, Field::kEnum)} : 0; };
  if (!options) return;
  constexpr int kPool = 5, kConcatenation = 10, kAdd = 11, kMul = 21, kSub = 28;
  switch (op->code) {
    case kTfLiteBuiltinAdd: op->builtin.arithmetic.activation = to_activation(byte(0, kAdd)); return;
    case kTfLiteBuiltinMul: op->builtin.arithmetic.activation = to_activation(byte(0, kMul)); return;
    case kTfLiteBuiltinSub: op->builtin.arithmetic.activation = to_activation(byte(0, kSub)); return;
    case kTfLiteBuiltinConcatenation:
      op->builtin.concatenation = {number(0, kConcatenation), to_activation(byte(1, kConcatenation))};
      return;
    case kTfLiteBuiltinMaxPool2d: {
      const int padding = byte(0, kPool);
      TfLitePoolParams& pool = op->builtin.pool;
      pool.padding = padding == 0 ? kTfLitePaddingSame : padding == 1 ? kTfLitePaddingValid : kTfLitePaddingUnknown;
      pool.stride_width = number(1, kPool);
      pool.stride_height = number(2, kPool);
      pool.filter_width = number(3, kPool);
      pool.filter_height = number(4, kPool);
      pool.activation = to_activation(byte(5, kPool));
      return;
    }
    default: return;
  }
}

ModelOperator read_operator(Reader& reader, size_t table, const std::vector<size_t>& codes) {
  ModelOperator op;
  const auto index = reader.value<uint32_t>(table, 0, 0, Field::kIndex);
  op.inputs = reader.values<int32_t>(table, 1, Field::kIndex);
  op.outputs = reader.values<int32_t>(table, 2, Field::kIndex);
  if (!reader.check(index < codes.size())) return op;
  const int deprecated = reader.value<int8_t>(codes[index], 0, 0, Field::kEnum);
  const int code = reader.value<int32_t>(codes[index], 3, 0, Field::kSize);
  op.code = code > deprecated ? code : deprecated;
  reader.check(op.code >= 0 && op.code < 256);
  if (op.code != kTfLiteBuiltinCustom) {
    read_builtin(reader, table, &op);
    return op;
  }
  const Bytes name = reader.bytes(codes[index], 1, Field::kOptions);
  if (!reader.check(name.data)) return op;
  op.custom.assign(reinterpret_cast<const char*>(name.data), name.size);
  op.custom = op.custom.c_str();
  op.options = reader.bytes(table, 5, Field::kOptions);
  return op;
}

}  // namespace

size_t element_size(int type) {
  switch (type) {
    case kTfLiteFloat32:
    case kTfLiteInt32: return 4;
    case kTfLiteInt8:
    case kTfLiteBool:
    case 3: return 1;  // uint8
    case 7:
    case 10: return 2;  // int16, float16
    case 4:
    case 8:
    case 11: return 8;  // int64, complex64, float64
    default: return 0;
  }
}

bool tensor_bytes(int type, const int* dims, size_t rank, size_t* bytes) {
  *bytes = element_size(type);
  for (size_t i = 0; i < rank; ++i) {
    if (__builtin_mul_overflow(*bytes, static_cast<size_t>(dims[i]), bytes)) return false;
  }
  return true;
}

bool read_model(const uint8_t* file, size_t size, Model* model, std::vector<Field>* fields) {
  if (size < 8 || std::memcmp(file + 4, "TFL3", 4) != 0) return false;
  Reader reader(file, size, fields);
  const size_t root = reader.follow(0);
  const std::vector<size_t> codes = reader.tables(root, 1), subgraphs = reader.tables(root, 2), buffers = reader.tables(root, 4);
  if (!reader.check(!subgraphs.empty())) return false;
  for (size_t table : reader.tables(subgraphs[0], 0)) model->tensors.push_back(read_tensor(reader, table, buffers));
  for (size_t table : reader.tables(subgraphs[0], 3)) model->operators.push_back(read_operator(reader, table, codes));
  model->inputs = reader.values<int32_t>(subgraphs[0], 1, Field::kIndex);
  model->outputs = reader.values<int32_t>(subgraphs[0], 2, Field::kIndex);
  const auto count = static_cast<int32_t>(model->tensors.size());
  auto in_range = [&](const std::vector<int32_t>& ids, int32_t least) {
    for (int32_t id : ids) reader.check(id >= least && id < count);
  };
  for (const ModelOperator& op : model->operators) {
    in_range(op.inputs, kTfLiteOptionalTensor);
    in_range(op.outputs, kTfLiteOptionalTensor);
    if (op.code == kTfLiteBuiltinCustom) continue;
    // Of builtin operators the host also wants that none writes what it reads.
    for (int32_t in : op.inputs) {
      for (int32_t out : op.outputs) reader.check(in != out || in < 0);
    }
  }
  in_range(model->inputs, 0);
  in_range(model->outputs, 0);
  return reader.ok();
}

}  // namespace bduo::fuzz
