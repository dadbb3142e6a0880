// A node of the host's graph as far as this library takes part in it, read and checked.
#include "graph/node.h"

#include <algorithm>
#include <string>

#include "graph/ops/list.h"
#include "graph/tensors.h"

namespace bduo {
namespace {

// What NodeSource promises of a custom operator.
Status check_custom(const NodeSource& node) {
  const auto writable = [&](int id) { return id >= 0 && !is_constant(tensor_of(node.context, id)); };
  if (std::all_of(node.outputs.begin(), node.outputs.end(), writable)) return {};
  return Status::error("its output is not a tensor to write to");
}

// Whether a builtin operator is what NodeSource promises.
bool is_float_builtin(const NodeSource& node) {
  const auto is_float = [&](int id) { return id >= 0 && tensor_of(node.context, id).type == kTfLiteFloat32; };
  return std::all_of(node.inputs.begin(), node.inputs.end(), is_float) && node.host.builtin_data && node.outputs.size() == 1 &&
         is_float(node.outputs[0]) && !is_constant(node.output());
}

}  // namespace

Status read_node(TfLiteContext* context, int index, Node* node) {
  *node = {};
  node->index = index;
  TfLiteNode* host = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, index, &host, &registration) != kTfLiteOk) {
    return Status::error("the host does not know operator " + std::to_string(index));
  }
  node->inputs.assign(host->inputs->data, host->inputs->data + host->inputs->size);
  node->outputs.assign(host->outputs->data, host->outputs->data + host->outputs->size);
  const OperatorType* type = find_operator_type(registration->builtin_code, registration->custom_name ? registration->custom_name : "");
  if (!type) return {};
  const NodeSource source{context, *host, node->inputs, node->outputs};
  const bool custom = type->builtin == kTfLiteBuiltinCustom;
  if (!custom && !is_float_builtin(source)) return {};
  Status status = custom ? check_custom(source) : Status();
  if (status.ok()) status = type->read(source, &node->op);
  if (!status.ok()) {
    return Status::error(std::string(type->name) + " (operator " + std::to_string(index) + "): " + status.text());
  }
  if (node->op) node->name = type->name;
  return {};
}

}  // namespace bduo
