// What a user names, among rows with a name and the features that they need: it is taken or refused, never replaced silently.
#pragma once

#include <string>

#include "kernels/features.h"

namespace bduo {

template <class Row>
struct ByName {
  const Row* row = nullptr;  // not null if there is one of that name and its features are there
  bool known = false;        // whether there is one of that name at all
  std::string available;     // the names of those whose features are there, for an error
};

template <class Row, class Rows>
ByName<Row> by_name(const Rows& rows, const std::string& name, Features there) {
  ByName<Row> found;
  for (const Row& row : rows) {
    const bool same = name == row.name;
    found.known = found.known || same;
    if (!has(there, row.needs)) continue;
    if (same) found.row = &row;
    found.available += (found.available.empty() ? "" : ", ") + std::string(row.name);
  }
  return found;
}

}  // namespace bduo
