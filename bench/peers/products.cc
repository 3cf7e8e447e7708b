// SPDX-License-Identifier: Apache-2.0
// Our matrix products against oneDNN's, in turns, as JSON. Ours take operands as they lie in memory and rearrange them each time. oneDNN
// has two sides: `plain`, operands as they lie, and `best`, all three matrices in whatever layout it likes best, brought there
// beforehand and not timed. Its primitives are made beforehand too. Built by `npm run bench -- products`, run as
// `products threads rounds`.
#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/thread-pool.h"
#include "cpu/matmul.h"

namespace {

using Clock = std::chrono::steady_clock;
using Type = dnnl::memory::data_type;

constexpr double kTurnSeconds = 0.02;

struct Case {
  const char* layout;  ///< NN, NT (b transposed in memory) or TN (a transposed)
  std::int64_t m, k, n;
};

// Rows of two clips of the preset base: 626 and 208 visible video and audio tokens of width 768, 2510 masked ones of width 512.
constexpr Case kCases[] = {
    {"NT", 626, 768, 3072}, {"NN", 626, 3072, 768}, {"TN", 3072, 626, 768},  // fc1: forward, gradient of x, gradient of weights
    {"NT", 626, 3072, 768}, {"NN", 626, 768, 3072}, {"TN", 768, 626, 3072},  // fc2
    {"NT", 626, 768, 2304}, {"NT", 208, 768, 3072}, {"TN", 3072, 208, 768},
    {"NT", 2510, 512, 2048}, {"NN", 2510, 2048, 512}, {"TN", 2048, 2510, 512},
};

/// One way to compute a product.
struct Side {
  std::string name;
  std::function<void()> run;
  std::vector<double> ms;
};

double seconds_of(const std::function<void()>& run, int repeats) {
  const auto start = Clock::now();
  for (int i = 0; i < repeats; ++i) run();
  return std::chrono::duration<double>(Clock::now() - start).count() / repeats;
}

/// Operands in float32 and the type, and results of all sides.
class Product {
 public:
  Product(const Case& of, bool bfloat16, const dnnl::engine& engine, dnnl::stream& stream)
      : case_(of), type_(bfloat16 ? Type::bf16 : Type::f32), engine_(engine), stream_(stream) {
    const bool transposed_a = of.layout[0] == 'T';
    const bool transposed_b = of.layout[1] == 'T';
    // The gradient of a weight is float32 always.
    c_type_ = transposed_a ? Type::f32 : type_;
    a_ = plain({of.m, of.k}, type_, transposed_a);
    b_ = plain({of.k, of.n}, type_, transposed_b);
    fill(a_, 1);
    fill(b_, 2);
    ours_ = plain({of.m, of.n}, c_type_, false);
    const auto type = bfloat16 ? dm::cpu::MatrixType::kBFloat16 : dm::cpu::MatrixType::kFloat32;
    product_.m = of.m;
    product_.k = of.k;
    product_.n = of.n;
    product_.product = type;
    product_.a = transposed_a ? dm::cpu::transposed(of.m, type) : dm::cpu::row_major(of.k, type);
    product_.b = transposed_b ? dm::cpu::transposed(of.k, type) : dm::cpu::row_major(of.n, type);
    product_.c = dm::cpu::row_major(
        of.n, c_type_ == Type::bf16 ? dm::cpu::MatrixType::kBFloat16 : dm::cpu::MatrixType::kFloat32);
  }

  std::vector<Side> sides() {
    std::vector<Side> result;
    result.push_back({"ours", [this] { ours(); }, {}});
    result.push_back({"plain", theirs(a_.get_desc(), b_.get_desc(), ours_.get_desc()), {}});
    const auto any = dnnl::memory::format_tag::any;
    result.push_back({"best",
                      theirs({{case_.m, case_.k}, type_, any}, {{case_.k, case_.n}, type_, any},
                             {{case_.m, case_.n}, c_type_, any}),
                      {}});
    return result;
  }

  /// The largest difference of a result from ours, over the largest of ours.
  double difference() {
    double most = 0, error = 0;
    const std::vector<float> expected = floats(ours_);
    for (const dnnl::memory& result : results_) {
      const std::vector<float> got = floats(result);
      for (std::size_t i = 0; i < got.size(); ++i) {
        most = std::max(most, std::abs(static_cast<double>(expected[i])));
        const double apart = std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
        if (!(apart <= error)) error = apart;
      }
    }
    return error / most;
  }

 private:
  dnnl::memory plain(const dnnl::memory::dims& shape, Type type, bool transposed) {
    const auto tag = transposed ? dnnl::memory::format_tag::ba : dnnl::memory::format_tag::ab;
    return dnnl::memory({shape, type, tag}, engine_);
  }

  dnnl::memory in(dnnl::memory from, const dnnl::memory::desc& layout) {
    if (from.get_desc() == layout) return from;
    dnnl::memory to(layout, engine_);
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
    return to;
  }

  void fill(const dnnl::memory& to, std::uint32_t seed) {
    dnnl::memory values(dnnl::memory::desc(to.get_desc().dims(), Type::f32, dnnl::memory::format_tag::ab), engine_);
    auto* data = static_cast<float*>(values.get_data_handle());
    for (std::size_t i = 0; i < values.get_desc().get_size() / sizeof(float); ++i) {
      seed = seed * 1664525u + 1013904223u;
      data[i] = static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5f;
    }
    dnnl::memory target = to;
    dnnl::reorder(values, target).execute(stream_, values, target);
    stream_.wait();
  }

  std::vector<float> floats(const dnnl::memory& from) {
    const dnnl::memory::desc layout({case_.m, case_.n}, Type::f32, dnnl::memory::format_tag::ab);
    const dnnl::memory values = in(from, layout);
    const auto* data = static_cast<const float*>(values.get_data_handle());
    return {data, data + case_.m * case_.n};
  }

  void ours() {
    const dm::Status status =
        dm::cpu::matmul(product_, a_.get_data_handle(), b_.get_data_handle(), ours_.get_data_handle());
    if (!status.ok()) std::exit(1);
  }

  std::function<void()> theirs(const dnnl::memory::desc& a, const dnnl::memory::desc& b,
                               const dnnl::memory::desc& c) {
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), engine_);
    const dnnl::matmul primitive(description);
    dnnl::memory result(description.dst_desc(), engine_);
    results_.push_back(result);
    const std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_SRC, in(a_, description.src_desc())},
        {DNNL_ARG_WEIGHTS, in(b_, description.weights_desc())},
        {DNNL_ARG_DST, result}};
    return [this, primitive, arguments] {
      primitive.execute(stream_, arguments);
      stream_.wait();
    };
  }

  Case case_;
  Type type_, c_type_;
  const dnnl::engine& engine_;
  dnnl::stream& stream_;
  dnnl::memory a_, b_, ours_;
  std::vector<dnnl::memory> results_;
  dm::cpu::MatmulDescription product_;
};

void measure(Product& product, const Case& of, bool bfloat16, int rounds, bool first) {
  std::vector<Side> sides = product.sides();
  for (Side& side : sides) seconds_of(side.run, 2);
  const double difference = product.difference();
  for (int round = 0; round < rounds; ++round) {
    for (Side& side : sides) {
      const double once = seconds_of(side.run, 1);
      const int repeats = std::max(1, static_cast<int>(kTurnSeconds / once));
      side.ms.push_back(1e3 * seconds_of(side.run, repeats));
    }
  }
  std::printf("%s{\"layout\": \"%s\", \"type\": \"%s\", \"m\": %d, \"k\": %d, \"n\": %d, \"difference\": %.2g",
              first ? "" : ",\n", of.layout, bfloat16 ? "bfloat16" : "float32", static_cast<int>(of.m),
              static_cast<int>(of.k), static_cast<int>(of.n), difference);
  for (const Side& side : sides) {
    std::printf(", \"%sMs\": [", side.name.c_str());
    for (std::size_t i = 0; i < side.ms.size(); ++i) std::printf("%s%.4f", i == 0 ? "" : ", ", side.ms[i]);
    std::printf("]");
  }
  std::printf("}");
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 15;
  dm::set_threads(threads);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl_version_t* version = dnnl::version();
  std::printf("{\"oneDNN\": \"%d.%d.%d\", \"products\": [\n", version->major, version->minor, version->patch);
  bool first = true;
  for (const bool bfloat16 : {false, true}) {
    for (const Case& of : kCases) {
      Product product(of, bfloat16, engine, stream);
      measure(product, of, bfloat16, rounds, first);
      first = false;
    }
  }
  std::printf("\n]}\n");
}
