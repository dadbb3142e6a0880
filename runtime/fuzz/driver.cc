// Runs a fuzz target where there is no libFuzzer, with the same command line. Files are run once each; of folders
// -runs=N mutations
// (-seed=S) of their files are run. No coverage guides the mutations: this is a test that runs anywhere, not a search.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed);
extern "C" void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Input = std::vector<uint8_t>;

std::mt19937 random_bits;
Input current;

size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_bits); }

Input read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void keep_current() {
  std::ofstream("crash-input", std::ios::binary)
      .write(reinterpret_cast<const char*>(current.data()), static_cast<std::streamsize>(current.size()));
  std::fprintf(stderr, "the input is in ./crash-input\n");
}

void run(const Input& input) {
  current = input;
  current.shrink_to_fit();  // The sanitizer then sees a read of one byte too many.
  LLVMFuzzerTestOneInput(current.data(), current.size());
}

Input mutated(Input input) {
  constexpr size_t kMore = 64;
  size_t size = input.size();
  input.resize(size + kMore);
  for (size_t times = 1 + below(5); times > 0; --times) {
    const auto seed = static_cast<unsigned>(random_bits());
    size = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(input.data(), size, input.size(), seed)
                                   : LLVMFuzzerMutate(input.data(), size, input.size());
  }
  input.resize(size);
  return input;
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most) {
  if (size == 0) return 0;
  const size_t at = below(size);
  switch (below(6)) {
    case 0: data[at] = static_cast<uint8_t>(random_bits()); return size;
    case 1: data[at] = static_cast<uint8_t>(data[at] ^ 1 << below(8)); return size;
    case 2: data[at] = std::vector<uint8_t>{0, 1, 2, 4, 8, 127, 128, 255}[below(8)]; return size;
    case 3: data[at] = data[below(size)]; return size;
    case 4:  // a byte less
      std::copy(data + at + 1, data + size, data + at);
      return size - 1;
    default:  // a byte more
      if (size == most) return size;
      std::copy_backward(data + at, data + size, data + size + 1);
      return size + 1;
  }
}

int main(int count, char** arguments) {
  long runs = -1;
  std::vector<Input> corpus, files;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument.rfind("-runs=", 0) == 0) {
      runs = std::atol(argument.c_str() + 6);
    } else if (argument.rfind("-seed=", 0) == 0) {
      random_bits.seed(static_cast<unsigned>(std::atol(argument.c_str() + 6)));
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::directory_iterator(argument)) corpus.push_back(read(entry.path()));
    } else if (argument[0] != '-') {  // Other options of libFuzzer mean nothing here.
      files.push_back(read(argument));
    }
  }
  __sanitizer_set_death_callback(keep_current);
  std::signal(SIGABRT, [](int) { keep_current(); });
  std::sort(corpus.begin(), corpus.end());  // A folder has no order, and a seed shall give the same inputs everywhere.
  for (const Input& file : files) run(file);
  for (const Input& input : corpus) run(input);
  if (corpus.empty()) corpus.emplace_back(1);
  for (long i = 0; files.empty() && i < runs; ++i) run(mutated(corpus[below(corpus.size())]));
  std::fprintf(stderr, "Done\n");
  return 0;
}
