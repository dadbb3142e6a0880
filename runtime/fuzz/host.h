// A small TFLite host: it is as much of an interpreter as a delegate meets, and promises no more than a real one does.
// Operators that the delegate does not take write pseudo-random numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model.h"

namespace bduo::fuzz {

class Host {
 public:
  // With `dynamic`, the host's own operators know the shapes of their outputs only when they run. The model must
  // outlive it.
  Host(const Model& model, bool dynamic);
  ~Host();

  // Each returns false where a real interpreter would report an error.
  bool apply(TfLiteDelegate* delegate);
  bool resize(int tensor, const std::vector<int>& dims);
  bool allocate();  // It prepares the nodes and gives tensors memory of exactly their size.
  bool invoke();

  size_t partitions() const;
  const TfLiteTensor& tensor(int id) const { return tensors_[static_cast<size_t>(id)]; }
  // Whether constants, which only the host may write, are as they were.
  bool constants_intact() const;

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  using Memory = std::unique_ptr<void, Free>;
  struct Entry {
    TfLiteNode node{};
    TfLiteRegistration registration{};
  };
  // A part of the plan, whose nodes are either all replaced or all left.
  struct Subset {
    bool replaced = false;
    std::vector<int> nodes, inputs, outputs;
  };
  struct Params {
    TfLiteDelegateParams value;

    Params(TfLiteDelegate* delegate, const Subset& subset);
    ~Params();
  };

  static Host& of(TfLiteContext* context) { return *static_cast<Host*>(context->impl_); }
  bool partition(const TfLiteIntArray& replaced, std::vector<Subset>* subsets) const;
  TfLiteStatus preview(const TfLiteIntArray& replaced, TfLiteDelegateParams** partitions, int* count);
  TfLiteStatus replace(const TfLiteRegistration& registration, const TfLiteIntArray& replaced, TfLiteDelegate* delegate);
  TfLiteStatus resize(TfLiteTensor* tensor, TfLiteIntArray* size);
  void allow_delegating(bool allowed);
  bool prepare_from(size_t position);
  bool has_dynamic_output(const TfLiteNode& node) const;
  void give_memory(int id);
  void run_own(const TfLiteNode& node);
  void fill(int id);
  void clear(Entry& entry);

  const Model& model_;
  bool dynamic_;
  TfLiteContext context_{};
  std::vector<TfLiteTensor> tensors_;
  std::vector<Memory> constants_, arena_;  // one entry for each tensor, empty where the other one has it
  std::vector<Entry> nodes_;               // It grows when nodes are replaced, so that a pointer to a node does not last.
  std::vector<int> plan_;
  TfLiteIntArray* plan_array_ = nullptr;
  std::vector<std::unique_ptr<Params>> params_, preview_;
  std::vector<TfLiteDelegateParams> preview_list_;
  size_t unprepared_ = 0;  // the first position in the plan that is not prepared
  bool resized_ = false;   // whether a tensor was resized since the last operator ran
  uint64_t random_ = 1;
};

}  // namespace bduo::fuzz
