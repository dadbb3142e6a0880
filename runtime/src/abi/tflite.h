// The part of TFLite's stable C ABI that a delegate meets. It is declared here because no package ships TFLite's
// headers. This file holds layouts and numbers only; host.h checks that the host at hand agrees with them.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1, kTfLiteDelegateError = 2 };

enum TfLiteType {
  kTfLiteNoType = 0,
  kTfLiteFloat32 = 1,
  kTfLiteInt32 = 2,
  kTfLiteString = 5,
  kTfLiteBool = 6,
  kTfLiteInt8 = 9,
};

enum TfLiteAllocationType {
  kTfLiteMemNone = 0,
  kTfLiteMmapRo = 1,
  kTfLiteArenaRw = 2,
  kTfLiteArenaRwPersistent = 3,
  kTfLiteDynamic = 4,
  kTfLitePersistentRo = 5,
  kTfLiteCustom = 6,
};

enum TfLiteBuiltinOperator {
  kTfLiteBuiltinAdd = 0,
  kTfLiteBuiltinConcatenation = 2,
  kTfLiteBuiltinMaxPool2d = 17,
  kTfLiteBuiltinMul = 18,
  kTfLiteBuiltinRelu = 19,
  kTfLiteBuiltinReluN1To1 = 20,
  kTfLiteBuiltinRelu6 = 21,
  kTfLiteBuiltinCustom = 32,
  kTfLiteBuiltinSub = 41,
};

enum TfLiteFusedActivation { kTfLiteActNone = 0, kTfLiteActRelu = 1, kTfLiteActReluN1To1 = 2, kTfLiteActRelu6 = 3 };

enum TfLitePadding { kTfLitePaddingUnknown = 0, kTfLitePaddingSame = 1, kTfLitePaddingValid = 2 };

constexpr int64_t kTfLiteDelegateFlagsAllowDynamicTensors = 1;
constexpr int kTfLiteOptionalTensor = -1;

struct TfLiteContext;
struct TfLiteDelegate;
struct TfLiteNode;
struct TfLiteRegistration;

struct TfLiteIntArray {
  int size;
  int data[];
};

struct TfLiteTensor {
  int type;  // TfLiteType
  void* data;
  TfLiteIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;  // TfLiteAllocationType
  size_t bytes;
  const void* allocation;
  const char* name;
  TfLiteDelegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
};

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  TfLiteIntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  TfLiteDelegate* delegate;
  bool might_have_side_effect;
};

// The host takes this one by value, so it must not be shorter than the host's own. Fields not used here stay 0.
struct TfLiteRegistration {
  void* (*init)(TfLiteContext*, const char* buffer, size_t length);
  void (*free)(TfLiteContext*, void* buffer);
  TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*);
  TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*);
  const char* (*profiling_string)(const TfLiteContext*, const TfLiteNode*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
};

struct TfLiteDelegateParams {
  TfLiteDelegate* delegate;
  TfLiteIntArray* nodes_to_replace;
  TfLiteIntArray* input_tensors;
  TfLiteIntArray* output_tensors;
};

struct TfLiteDelegate {
  void* data_;
  TfLiteStatus (*Prepare)(TfLiteContext*, TfLiteDelegate*);
  TfLiteStatus (*CopyFromBufferHandle)(TfLiteContext*, TfLiteDelegate*, int, TfLiteTensor*);
  TfLiteStatus (*CopyToBufferHandle)(TfLiteContext*, TfLiteDelegate*, int, TfLiteTensor*);
  void (*FreeBufferHandle)(TfLiteContext*, TfLiteDelegate*, int*);
  int64_t flags;
  void* opaque_delegate_builder;
};

struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext*, TfLiteIntArray** plan);
  TfLiteTensor* tensors;
  void* impl_;
  TfLiteStatus (*ResizeTensor)(TfLiteContext*, TfLiteTensor*, TfLiteIntArray* size);
  void (*ReportError)(TfLiteContext*, const char* format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext*, int count, int* first);
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext*, int node, TfLiteNode**, TfLiteRegistration**);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext*, TfLiteRegistration, const TfLiteIntArray* nodes, TfLiteDelegate*);
  int recommended_num_threads;
  void* (*GetExternalContext)(TfLiteContext*, int type);
  void (*SetExternalContext)(TfLiteContext*, int type, void* context);
  bool allow_fp32_relax_to_fp16;
  void* profiler;
  void* (*AllocatePersistentBuffer)(TfLiteContext*, size_t bytes);
  TfLiteStatus (*AllocateBufferForEval)(TfLiteContext*, size_t bytes, void** buffer);
  TfLiteStatus (*RequestScratchBufferInArena)(TfLiteContext*, size_t bytes, int* index);
  void* (*GetScratchBuffer)(TfLiteContext*, int index);
  TfLiteStatus (*ResizeTensorExplicit)(TfLiteContext*, TfLiteTensor*, int dims, const int* shape);
  TfLiteStatus (*PreviewDelegatePartitioning)(TfLiteContext*, const TfLiteIntArray* nodes, TfLiteDelegateParams** partitions, int* count);
};

// The options of builtin operators, as far as they are read here. Later versions of TFLite only append fields.
struct TfLitePoolParams {
  int padding;  // TfLitePadding
  int stride_width, stride_height;
  int filter_width, filter_height;
  int activation;  // TfLiteFusedActivation
};

struct TfLiteConcatenationParams {
  int axis;
  int activation;
};

// ADD, SUB and MUL have structures of their own in TFLite; all three begin like this.
struct TfLiteArithmeticParams {
  int activation;
};

}  // extern "C"

// Where TFLite's c/common.h and c/builtin_op_data.h have these fields on hosts with 64-bit pointers, Windows included.
// An edit that moves one is an error here and not a crash in some host. On 32-bit hosts, on which alignment differs,
// only check_host() looks.
#define BDUO_AT(type, field, offset) static_assert(sizeof(void*) != 8 || offsetof(type, field) == (offset), #type "::" #field)
#define BDUO_SIZE(type, size) static_assert(sizeof(void*) != 8 || sizeof(type) == (size), #type)

BDUO_AT(TfLiteIntArray, size, 0);
BDUO_AT(TfLiteIntArray, data, 4);
BDUO_SIZE(TfLiteIntArray, 4);

BDUO_AT(TfLiteTensor, type, 0);
BDUO_AT(TfLiteTensor, data, 8);
BDUO_AT(TfLiteTensor, dims, 16);
BDUO_AT(TfLiteTensor, params, 24);
BDUO_AT(TfLiteTensor, allocation_type, 32);
BDUO_AT(TfLiteTensor, bytes, 40);
BDUO_AT(TfLiteTensor, allocation, 48);
BDUO_AT(TfLiteTensor, name, 56);
BDUO_AT(TfLiteTensor, delegate, 64);
BDUO_AT(TfLiteTensor, buffer_handle, 72);
BDUO_AT(TfLiteTensor, data_is_stale, 76);
BDUO_AT(TfLiteTensor, is_variable, 77);
BDUO_AT(TfLiteTensor, quantization, 80);
BDUO_AT(TfLiteTensor, sparsity, 96);
BDUO_AT(TfLiteTensor, dims_signature, 104);
BDUO_SIZE(TfLiteTensor, 112);

BDUO_AT(TfLiteNode, inputs, 0);
BDUO_AT(TfLiteNode, outputs, 8);
BDUO_AT(TfLiteNode, intermediates, 16);
BDUO_AT(TfLiteNode, temporaries, 24);
BDUO_AT(TfLiteNode, user_data, 32);
BDUO_AT(TfLiteNode, builtin_data, 40);
BDUO_AT(TfLiteNode, custom_initial_data, 48);
BDUO_AT(TfLiteNode, custom_initial_data_size, 56);
BDUO_AT(TfLiteNode, delegate, 64);
BDUO_AT(TfLiteNode, might_have_side_effect, 72);
BDUO_SIZE(TfLiteNode, 80);

BDUO_AT(TfLiteRegistration, init, 0);
BDUO_AT(TfLiteRegistration, free, 8);
BDUO_AT(TfLiteRegistration, prepare, 16);
BDUO_AT(TfLiteRegistration, invoke, 24);
BDUO_AT(TfLiteRegistration, profiling_string, 32);
BDUO_AT(TfLiteRegistration, builtin_code, 40);
BDUO_AT(TfLiteRegistration, custom_name, 48);
BDUO_AT(TfLiteRegistration, version, 56);
BDUO_AT(TfLiteRegistration, registration_external, 64);
BDUO_AT(TfLiteRegistration, async_kernel, 72);
BDUO_AT(TfLiteRegistration, inplace_operator, 80);
BDUO_SIZE(TfLiteRegistration, 88);

BDUO_AT(TfLiteDelegateParams, delegate, 0);
BDUO_AT(TfLiteDelegateParams, nodes_to_replace, 8);
BDUO_AT(TfLiteDelegateParams, input_tensors, 16);
BDUO_AT(TfLiteDelegateParams, output_tensors, 24);
BDUO_SIZE(TfLiteDelegateParams, 32);

BDUO_AT(TfLiteDelegate, data_, 0);
BDUO_AT(TfLiteDelegate, Prepare, 8);
BDUO_AT(TfLiteDelegate, CopyFromBufferHandle, 16);
BDUO_AT(TfLiteDelegate, CopyToBufferHandle, 24);
BDUO_AT(TfLiteDelegate, FreeBufferHandle, 32);
BDUO_AT(TfLiteDelegate, flags, 40);
BDUO_AT(TfLiteDelegate, opaque_delegate_builder, 48);
BDUO_SIZE(TfLiteDelegate, 56);

BDUO_AT(TfLiteContext, tensors_size, 0);
BDUO_AT(TfLiteContext, GetExecutionPlan, 8);
BDUO_AT(TfLiteContext, tensors, 16);
BDUO_AT(TfLiteContext, impl_, 24);
BDUO_AT(TfLiteContext, ResizeTensor, 32);
BDUO_AT(TfLiteContext, ReportError, 40);
BDUO_AT(TfLiteContext, AddTensors, 48);
BDUO_AT(TfLiteContext, GetNodeAndRegistration, 56);
BDUO_AT(TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels, 64);
BDUO_AT(TfLiteContext, recommended_num_threads, 72);
BDUO_AT(TfLiteContext, GetExternalContext, 80);
BDUO_AT(TfLiteContext, SetExternalContext, 88);
BDUO_AT(TfLiteContext, allow_fp32_relax_to_fp16, 96);
BDUO_AT(TfLiteContext, profiler, 104);
BDUO_AT(TfLiteContext, AllocatePersistentBuffer, 112);
BDUO_AT(TfLiteContext, AllocateBufferForEval, 120);
BDUO_AT(TfLiteContext, RequestScratchBufferInArena, 128);
BDUO_AT(TfLiteContext, GetScratchBuffer, 136);
BDUO_AT(TfLiteContext, ResizeTensorExplicit, 144);
BDUO_AT(TfLiteContext, PreviewDelegatePartitioning, 152);

BDUO_AT(TfLitePoolParams, padding, 0);
BDUO_AT(TfLitePoolParams, stride_width, 4);
BDUO_AT(TfLitePoolParams, stride_height, 8);
BDUO_AT(TfLitePoolParams, filter_width, 12);
BDUO_AT(TfLitePoolParams, filter_height, 16);
BDUO_AT(TfLitePoolParams, activation, 20);

BDUO_AT(TfLiteConcatenationParams, axis, 0);
BDUO_AT(TfLiteConcatenationParams, activation, 4);

BDUO_AT(TfLiteArithmeticParams, activation, 0);

#undef BDUO_AT
#undef BDUO_SIZE
