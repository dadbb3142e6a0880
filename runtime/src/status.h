// What every function that can fail returns: nothing wrong, or one line that says what is.
//
// The convention of this library: a function that can fail for a reason that the user should read returns Status and
// its results through pointers; a look-up that may find nothing, which is no failure, returns std::optional. TFLite's
// codes occur in the callbacks of the host only.
#pragma once

#include <string>
#include <utility>

namespace bduo {

class [[nodiscard]] Status {
 public:
  Status() = default;
  // The text is a part of a sentence without a full stop: callers put before it which operator it is about.
  static Status error(std::string text) {
    Status status;
    status.failed_ = true;
    status.text_ = std::move(text);
    return status;
  }

  bool ok() const { return !failed_; }
  const std::string& text() const { return text_; }

 private:
  bool failed_ = false;
  std::string text_;
};

}  // namespace bduo
