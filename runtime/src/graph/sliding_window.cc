// A window as an operator's options give it, before the size of its input is known.
#include "graph/sliding_window.h"

namespace bduo {

bool SlidingWindow::valid() const {
  return size.height > 0 && size.width > 0 && size.stride_height > 0 && size.stride_width > 0 && size.dilation_height > 0 &&
         size.dilation_width > 0;
}

Status SlidingWindow::over(int32_t height, int32_t width, Window* window, int32_t* output_height, int32_t* output_width) const {
  *window = size;
  Status status = slide(height, size.height, size.stride_height, size.dilation_height, same, output_height, &window->pad_top);
  if (!status.ok()) return status;
  return slide(width, size.width, size.stride_width, size.dilation_width, same, output_width, &window->pad_left);
}

Status SlidingWindow::pool_over(const std::vector<int32_t>& dims, PoolShape* pool) const {
  pool->batch = dims[0];
  pool->input_height = dims[1];
  pool->input_width = dims[2];
  if (Status status = over(dims[1], dims[2], &pool->window, &pool->output_height, &pool->output_width); !status.ok()) {
    return status;
  }
  return pool->validate();
}

}  // namespace bduo
