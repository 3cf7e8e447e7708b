// SPDX-License-Identifier: Apache-2.0
// x + factor * proj(attention(projections(layerNorm(x)))) and its gradient on a device: self, in windows, or across to a context. Buffers and
// numbers as in cpu/attention-branch.cc. Saved: mean and rstd [R]; log2 of the sums of powers; and, in bfloat16 when the products are, the
// attended rows [R, C] and the projections [R, 3C] (cross: [R, C], and [B K, 2C] of the context). R rows of x, C width, B samples, K rows of
// context each.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/arguments.h"
#include "cuda/attention.h"
#include "cuda/branch-rows.h"
#include "cuda/families.h"
#include "cuda/layer-norm.h"

namespace dm::cuda {

namespace {

// numbers: [batch, tokens, contextTokens, width, heads, epsilon, bfloat16, scaled, cross, biased, rows, columns, a, b, down, right];
// the last six are 0 without windows, contextTokens is 0 unless cross.
constexpr std::size_t kNumbers = 16;

bool flag(const OpArguments& arguments, std::size_t index) {
  return arguments.number_count > index && arguments.numbers[index] != 0;
}
bool is_cross(const OpArguments& arguments) { return flag(arguments, 8); }
bool is_biased(const OpArguments& arguments) { return flag(arguments, 9); }

struct Sizes {
  std::int64_t batch, tokens, context_tokens, width, heads;
  float epsilon;
  MatrixType type;
  bool scaled, cross, biased;
  WindowGrid windows;

  explicit Sizes(Arguments& in)
      : batch(in.count(0)),
        tokens(in.count(1)),
        context_tokens(in.count(2)),
        width(in.count(3)),
        heads(in.count(4)),
        epsilon(static_cast<float>(in.number(5))),
        type(in.flag(6) ? MatrixType::kBFloat16 : MatrixType::kFloat32),
        scaled(in.flag(7)),
        cross(in.flag(8)),
        biased(in.flag(9)),
        windows(read_window_grid(in, 10, tokens)) {
    // Every size below is a part of one of these.
    in.elements({batch, tokens, width, 3, sizeof(float)});
    in.elements({batch, context_tokens, width, 2, sizeof(float)});
    in.elements({width, width, 3, sizeof(float)});
    if (in.ok() && (heads == 0 || width % heads != 0)) {
      in.fail("heads that divide the width", std::to_string(heads));
    }
    if (in.ok() && cross && windows.any()) in.fail("no windows with a context", "windows");
    if (in.ok() && biased && !windows.any()) in.fail("windows with biases", "none");
  }

  std::int64_t rows() const { return batch * tokens; }
  std::int64_t context_rows() const { return cross ? batch * context_tokens : 0; }
  std::int64_t size() const { return rows() * width; }
  std::int64_t context_size() const { return context_rows() * width; }
  /// Columns of the projection of x.
  std::int64_t projected() const { return cross ? width : 3 * width; }
  /// Rows of the weight that projects the context.
  std::int64_t kv_width() const { return cross ? 2 * width : 0; }
  std::int64_t table_size() const { return windows.table_rows() * heads; }
  std::int64_t bytes(std::int64_t elements) const { return elements * bytes_of(type); }
  bool bfloat16() const { return type == MatrixType::kBFloat16; }

  AttentionShape shape(const float* table) const {
    return {batch, tokens, cross ? context_tokens : tokens, heads, heads == 0 ? 0 : width / heads,
            windows, table, bfloat16()};
  }
};

/// Where queries, keys and values are in the projections.
struct Projections {
  TokenMatrix query, key, value;

  Projections(const Sizes& sizes, void* own, void* of_context) {
    const auto columns_from = [&](const TokenMatrix& matrix, std::int64_t first) -> TokenMatrix {
      return {static_cast<std::byte*>(matrix.data) + sizes.bytes(first), matrix.stride};
    };
    query = {own, sizes.projected()};
    key = sizes.cross ? TokenMatrix{of_context, 2 * sizes.width} : columns_from(query, sizes.width);
    value = columns_from(key, sizes.width);
  }
};

/// Reads one buffer after the other.
class Reader {
 public:
  Reader(Arguments& in, const Sizes& sizes) : in_(in), sizes_(sizes) {}

  float* next(std::int64_t elements) { return in_.buffer<float>(next_++, elements); }
  /// Elements of the type of the products.
  std::byte* typed(std::int64_t elements) {
    return in_.buffer<std::byte>(next_++, sizes_.bytes(elements));
  }
  float* next_if(bool present, std::int64_t elements) {
    if (present) return next(elements);
    ++next_;
    return nullptr;
  }
  LayerNormRows norm() {
    const float* x = next(sizes_.size());
    const float* weight = next(sizes_.width);
    const float* bias = next(sizes_.width);
    return {x, weight, bias, sizes_.rows(), sizes_.width, sizes_.epsilon};
  }

 private:
  Arguments& in_;
  const Sizes& sizes_;
  std::size_t next_ = 0;
};

LinearWeight weight_of(Device& device, const TypedCopies& copies, const float* data,
                       std::int64_t out, std::int64_t width) {
  return {copies.weight(device, data, out * width), out, width, copies.type()};
}

struct Forward {
  LayerNormRows norm;
  const float *q, *q_bias, *proj, *proj_bias, *context, *kv, *kv_bias, *table, *factors;
  float *y, *mean, *rstd;
  std::byte* attended;
  float* log_sums;
  std::byte *projected, *projected_context;

  Forward(Reader& in, const Sizes& sizes)
      : norm(in.norm()),
        q(in.next(sizes.projected() * sizes.width)),
        q_bias(in.next(sizes.projected())),
        proj(in.next(sizes.width * sizes.width)),
        proj_bias(in.next(sizes.width)),
        context(in.next_if(sizes.cross, sizes.context_size())),
        kv(in.next_if(sizes.cross, sizes.kv_width() * sizes.width)),
        kv_bias(in.next_if(sizes.cross, sizes.kv_width())),
        table(in.next_if(sizes.biased, sizes.table_size())),
        factors(in.next_if(sizes.scaled, sizes.batch)),
        y(in.next(sizes.size())),
        mean(in.next(sizes.rows())),
        rstd(in.next(sizes.rows())),
        attended(in.typed(sizes.size())),
        log_sums(in.next(sizes.rows() * sizes.heads)),
        projected(in.typed(sizes.rows() * sizes.projected())),
        projected_context(sizes.cross ? in.typed(sizes.context_rows() * 2 * sizes.width) : nullptr) {}
};

/// y = x Wᵀ + bias, rows of the type of the products.
void project(Device& device, const LinearWeight& weight, const float* bias, std::int64_t rows,
             MatrixType type, const void* x, void* y) {
  MatmulDescription product = linear_product(weight, rows, type, type);
  product.epilogue.bias = bias;
  matmul(device, product, x, weight.data, y);
}

Status run_forward(Device& device, const Sizes& sizes, const Forward& f) {
  ScratchPlan plan;
  TypedCopies copies(plan, sizes.type);
  const std::size_t context = copies.add(sizes.context_size());
  const std::size_t normed = plan.add(sizes.bytes(sizes.size()));
  if (!plan.take(device)) return {};
  layer_norm_rows(device, f.norm, plan.at(normed), sizes.bfloat16(), f.mean, f.rstd);
  project(device, weight_of(device, copies, f.q, sizes.projected(), sizes.width), f.q_bias,
          sizes.rows(), sizes.type, plan.at(normed), f.projected);
  if (sizes.cross) {
    project(device, weight_of(device, copies, f.kv, sizes.kv_width(), sizes.width),
            f.kv_bias, sizes.context_rows(), sizes.type,
            copies.make(device, context, f.context, sizes.context_size()), f.projected_context);
  }
  const Projections parts(sizes, f.projected, f.projected_context);
  const Status status = attention_forward(device, sizes.shape(f.table), parts.query, parts.key,
                                          parts.value, {f.attended, sizes.width}, f.log_sums);
  if (!status.ok()) return status;
  const LinearWeight proj = weight_of(device, copies, f.proj, sizes.width, sizes.width);
  MatmulDescription last = linear_product(proj, sizes.rows(), sizes.type, MatrixType::kFloat32);
  last.epilogue.bias = f.proj_bias;
  last.epilogue.row_scale = f.factors;
  last.epilogue.rows_per_scale = sizes.tokens;
  last.epilogue.residual = f.norm.x;
  matmul(device, last, f.attended, proj.data, f.y);
  return {};
}

// buffers: x, normWeight, normBias, qWeight (q, k, v; cross: q), qBias, projWeight, projBias, context, kvWeight, kvBias, relBias,
// branchScale; y, mean, rstd, attended, logSums, projected, and projectedContext when cross.
Status forward(Device& device, const OpArguments& arguments) {
  Arguments in("DmAttentionBranch", arguments, is_cross(arguments) ? 19 : 18, kNumbers);
  const Sizes sizes(in);
  Reader reader(in, sizes);
  const Forward f(reader, sizes);
  if (!in.ok()) return in.status();
  return run_forward(device, sizes, f);
}

struct Backward {
  const float* dy;
  LayerNormRows norm;
  const float *q, *proj, *context, *kv, *table, *factors, *mean, *rstd;
  std::byte* attended;  ///< only read, as are the projections
  const float* log_sums;
  std::byte *projected, *projected_context;
  float *dx, *d_norm_weight, *d_norm_bias, *d_q, *d_q_bias, *d_proj, *d_proj_bias;
  float *d_table, *d_kv, *d_kv_bias, *d_context;

  Backward(Reader& in, const Sizes& sizes)
      : dy(in.next(sizes.size())),
        norm(in.norm()),
        q(in.next(sizes.projected() * sizes.width)),
        proj(in.next(sizes.width * sizes.width)),
        context(in.next_if(sizes.cross, sizes.context_size())),
        kv(in.next_if(sizes.cross, sizes.kv_width() * sizes.width)),
        table(in.next_if(sizes.biased, sizes.table_size())),
        factors(in.next_if(sizes.scaled, sizes.batch)),
        mean(in.next(sizes.rows())),
        rstd(in.next(sizes.rows())),
        attended(in.typed(sizes.size())),
        log_sums(in.next(sizes.rows() * sizes.heads)),
        projected(in.typed(sizes.rows() * sizes.projected())),
        projected_context(sizes.cross ? in.typed(sizes.context_rows() * 2 * sizes.width) : nullptr),
        dx(in.next(sizes.size())),
        d_norm_weight(in.next(sizes.width)),
        d_norm_bias(in.next(sizes.width)),
        d_q(in.next(sizes.projected() * sizes.width)),
        d_q_bias(in.next(sizes.projected())),
        d_proj(in.next(sizes.width * sizes.width)),
        d_proj_bias(in.next(sizes.width)),
        d_table(sizes.biased ? in.next(sizes.table_size()) : nullptr),
        d_kv(sizes.cross ? in.next(sizes.kv_width() * sizes.width) : nullptr),
        d_kv_bias(sizes.cross ? in.next(sizes.kv_width()) : nullptr),
        d_context(sizes.cross ? in.next(sizes.context_size()) : nullptr) {}
};

/// The gradient pass with its scratch.
class BackwardRun {
 public:
  BackwardRun(Device& device, const Sizes& sizes, const Backward& b)
      : device_(device),
        sizes_(sizes),
        b_(b),
        shape_(sizes.shape(b.table)),
        copies_(plan_, sizes.type),
        context_(copies_.add(sizes.context_size())),
        gradient_(plan_.add(sizes.bytes(sizes.size()))),
        d_attended_(plan_.add(sizes.bytes(sizes.size()))),
        d_projected_(plan_.add(sizes.bytes(sizes.rows() * sizes.projected()))),
        d_projected_context_(plan_.add(sizes.bytes(sizes.context_rows() * sizes.kv_width()))),
        normed_(plan_.add(sizes.bytes(sizes.size()))),
        d_normed_(plan_.add(sizes.size() * bytes_of(MatrixType::kFloat32))),
        sums_(plan_.add(column_sums_scratch(device, sizes.rows(), sizes.width) +
                        column_sums_scratch(device, sizes.rows(), sizes.projected()) +
                        column_sums_scratch(device, sizes.context_rows(), sizes.kv_width()))),
        d_norm_(plan_.add(static_cast<std::int64_t>(
            layer_norm_gradient_scratch(device, sizes.rows(), sizes.width)))),
        attention_(plan_.add(static_cast<std::int64_t>(attention_backward_scratch(shape_)))) {}

  Status run() {
    if (!plan_.take(device_)) return {};
    const Status status = attend_back();
    if (!status.ok()) return status;
    if (sizes_.cross) context_back();
    project_back();
    return {};
  }

 private:
  LinearWeight weight(const float* data, std::int64_t out) const {
    return weight_of(device_, copies_, data, out, sizes_.width);
  }

  /// From the gradient of the sum to those of the projections, and of proj.
  Status attend_back() {
    ColumnSums sums{.x = b_.dy, .rows = sizes_.rows(), .columns = sizes_.width,
                    .factors = b_.factors, .rows_per_factor = sizes_.tokens, .y_type = sizes_.type};
    const bool copied = b_.factors != nullptr || sizes_.bfloat16();
    if (copied) sums.y = plan_.at(gradient_);
    column_sums(device_, sums, b_.d_proj_bias, plan_.at(sums_));
    const void* const gradient = copied ? sums.y : b_.dy;
    const LinearWeight proj = weight(b_.proj, sizes_.width);
    matmul(device_, linear_weight_gradient(proj, sizes_.rows(), sizes_.type), gradient, b_.attended,
           b_.d_proj);
    matmul(device_, linear_input_gradient(proj, sizes_.rows(), sizes_.type, sizes_.type), gradient,
           proj.data, plan_.at(d_attended_));
    const Projections parts(sizes_, b_.projected, b_.projected_context);
    const Projections gradients(sizes_, plan_.at(d_projected_), plan_.at(d_projected_context_));
    return attention_backward(device_, shape_, parts.query, parts.key, parts.value,
                              {b_.attended, sizes_.width}, {plan_.at(d_attended_), sizes_.width},
                              b_.log_sums,
                              {gradients.query, gradients.key, gradients.value, b_.d_table},
                              plan_.at(attention_));
  }

  /// Gradients of the projection of the context.
  void context_back() {
    const void* const d_projected = plan_.at(d_projected_context_);
    const std::int64_t rows = sizes_.context_rows();
    column_sums(device_,
                {.x = d_projected, .type = sizes_.type, .rows = rows, .columns = sizes_.kv_width()},
                b_.d_kv_bias, plan_.at(sums_));
    const LinearWeight kv = weight(b_.kv, sizes_.kv_width());
    matmul(device_, linear_weight_gradient(kv, rows, sizes_.type), d_projected,
           copies_.make(device_, context_, b_.context, sizes_.context_size()), b_.d_kv);
    matmul(device_, linear_input_gradient(kv, rows, sizes_.type, MatrixType::kFloat32), d_projected,
           kv.data, b_.d_context);
  }

  /// Gradients of the projection of x, of the norm and of x.
  void project_back() {
    const void* const d_projected = plan_.at(d_projected_);
    const std::int64_t rows = sizes_.rows();
    column_sums(device_,
                {.x = d_projected, .type = sizes_.type, .rows = rows, .columns = sizes_.projected()},
                b_.d_q_bias, plan_.at(sums_));
    layer_norm_rows_again(device_, b_.norm, b_.mean, b_.rstd, plan_.at(normed_), sizes_.bfloat16());
    const LinearWeight q = weight(b_.q, sizes_.projected());
    matmul(device_, linear_weight_gradient(q, rows, sizes_.type), d_projected, plan_.at(normed_),
           b_.d_q);
    auto* const d_normed = static_cast<float*>(plan_.at(d_normed_));
    matmul(device_, linear_input_gradient(q, rows, sizes_.type, MatrixType::kFloat32), d_projected,
           q.data, d_normed);
    layer_norm_gradient(device_, b_.norm,
                        {.dy = d_normed, .mean = b_.mean, .rstd = b_.rstd, .residual = b_.dy,
                         .dx = b_.dx, .d_weight = b_.d_norm_weight, .d_bias = b_.d_norm_bias},
                        plan_.at(d_norm_));
  }

  Device& device_;
  const Sizes& sizes_;
  const Backward& b_;
  AttentionShape shape_;
  ScratchPlan plan_;
  TypedCopies copies_;
  std::size_t context_, gradient_, d_attended_, d_projected_, d_projected_context_, normed_, d_normed_, sums_,
      d_norm_, attention_;
};

// buffers: dy, x, normWeight, normBias, qWeight, projWeight, context, kvWeight, relBias, branchScale, mean, rstd, attended, logSums,
// projected, and projectedContext when cross; dx, dNormWeight, dNormBias, dQWeight, dQBias, dProjWeight, dProjBias, then dRelBias
// when biased, or dKvWeight, dKvBias, dContext when cross.
Status backward(Device& device, const OpArguments& arguments) {
  const std::size_t buffers = is_cross(arguments) ? 26 : is_biased(arguments) ? 23 : 22;
  Arguments in("DmAttentionBranchGrad", arguments, buffers, kNumbers);
  const Sizes sizes(in);
  Reader reader(in, sizes);
  const Backward b(reader, sizes);
  if (!in.ok()) return in.status();
  return BackwardRun(device, sizes, b).run();
}

}  // namespace

void register_attention_branch(DeviceOpTable& table) {
  table.add("DmAttentionBranch", forward);
  table.add("DmAttentionBranchGrad", backward);
}

}  // namespace dm::cuda
