// SPDX-License-Identifier: Apache-2.0
// x + factor * proj(attention(projections(layerNorm(x)))) and its gradient: self, in windows, or across to a context. Saved: mean and
// rstd [R]; log2 of the sums of powers; and, in bfloat16 when the products are, the attended rows [R, C] and the projections [R, 3C]
// (cross: [R, C], and [B K, 2C] of the context). R rows of x, C width, B samples, K rows of context each.
#include <string>

#include "core/arguments.h"
#include "cpu/attention-core.h"
#include "cpu/branch-rows.h"
#include "cpu/families.h"
#include "core/linear-products.h"

namespace dm::cpu {

namespace {

// numbers: [batch, tokens, contextTokens, width, heads, epsilon, bfloat16, scaled, cross, biased, rows, columns, a, b, down, right];
// the last six are 0 without windows, contextTokens is 0 unless cross.
constexpr std::size_t kNumbers = 16;

bool flag(const OpArguments& arguments, std::size_t index) {
  return arguments.number_count > index && arguments.numbers[index] != 0;
}
bool is_cross(const OpArguments& arguments) { return flag(arguments, 8); }
bool is_biased(const OpArguments& arguments) { return flag(arguments, 9); }

/// Reads one buffer after the other.
class Reader {
 public:
  Reader(Arguments& in, MatrixType type) : in_(in), type_(type) {}

  const float* read(std::int64_t elements) { return in_.buffer<const float>(next_++, elements); }
  float* write(std::int64_t elements) { return in_.buffer<float>(next_++, elements); }
  /// Elements of the type of the products.
  const std::byte* read_typed(std::int64_t elements) {
    return in_.buffer<const std::byte>(next_++, bytes(elements));
  }
  std::byte* write_typed(std::int64_t elements) {
    return in_.buffer<std::byte>(next_++, bytes(elements));
  }
  LinearWeight weight(std::int64_t out, std::int64_t width) {
    return {read(out * width), out, width};
  }
  const float* read_if(bool present, std::int64_t elements) {
    if (present) return read(elements);
    skip();
    return nullptr;
  }
  void skip() { ++next_; }
  std::int64_t bytes(std::int64_t elements) const {
    return elements * bytes_of(type_);
  }

 private:
  Arguments& in_;
  MatrixType type_;
  std::size_t next_ = 0;
};

struct Sizes {
  std::int64_t batch, tokens, context_tokens, width, heads;
  float epsilon;
  MatrixType type;
  bool scaled, cross, biased;
  WindowPlan windows;

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
        windows(read_window_plan(in, 10, tokens)) {
    // Every size below is a part of one of these.
    in.elements({batch, tokens, width, 3, sizeof(float)});
    in.elements({batch, context_tokens, width, 2, sizeof(float)});
    in.elements({width, width, 3, sizeof(float)});
    if (in.ok() && (heads == 0 || width % heads != 0)) {
      in.fail("heads that divide the width", std::to_string(heads));
    }
    if (in.ok() && cross && windows.windows > 0) in.fail("no windows with a context", "windows");
    if (in.ok() && biased && windows.windows == 0) in.fail("windows with biases", "none");
  }

  std::int64_t rows() const { return batch * tokens; }
  std::int64_t context_rows() const { return batch * context_tokens; }
  std::int64_t size() const { return rows() * width; }
  /// Columns of the projection of x.
  std::int64_t projected() const { return cross ? width : 3 * width; }
  std::int64_t table_size() const { return windows.table_rows * heads; }
  bool bfloat16() const { return type == MatrixType::kBFloat16; }

  AttentionShape shape(const float* table) const {
    return {batch, tokens, cross ? context_tokens : tokens, heads, heads == 0 ? 0 : width / heads,
            &windows, table};
  }
};

/// Where queries, keys and values are in the projections.
struct Projections {
  TokenMatrix query, key, value;

  Projections(const Sizes& sizes, const void* own, const void* of_context)
      : query(read_only(own, sizes.projected(), sizes.bfloat16())),
        key(sizes.cross ? read_only(of_context, 2 * sizes.width, sizes.bfloat16())
                        : columns_from(query, sizes.width)),
        value(columns_from(key, sizes.width)) {}
};

/// The context as the products read it.
class ContextRows {
 public:
  ContextRows(const Sizes& sizes, const float* context)
      : data_(context),
        rounded_(sizes.cross && sizes.bfloat16() ? sizes.context_rows() * sizes.width : 0) {
    if (rounded_.data() == nullptr) return;
    to_bfloat16(context, rounded_.data(), sizes.context_rows() * sizes.width);
    data_ = rounded_.data();
  }
  const void* data() const { return data_; }

 private:
  const void* data_;
  Scratch<std::uint16_t> rounded_;
};

BranchNorm read_norm(Reader& reader, const Sizes& sizes) {
  const float* x = reader.read(sizes.size());
  const float* weight = reader.read(sizes.width);
  const float* bias = reader.read(sizes.width);
  return {x, weight, bias, sizes.rows(), sizes.width, sizes.epsilon};
}

/// y = x Wᵀ + bias, rows of the type of the products.
Status project(const LinearWeight& weight, const float* bias, std::int64_t rows, MatrixType type,
               const void* x, void* y) {
  MatmulDescription product = linear_product(weight, rows, type, type);
  product.epilogue.bias = bias;
  return matmul(product, x, weight.data, y);
}

// buffers: x, normWeight, normBias, qWeight (q, k, v; cross: q), qBias, projWeight, projBias, context, kvWeight, kvBias, relBias,
// branchScale; y, mean, rstd, attended, logSums, projected, and projectedContext when cross.
Status attention_branch(const OpArguments& arguments) {
  Arguments in("DmAttentionBranch", arguments, is_cross(arguments) ? 19 : 18, kNumbers);
  const Sizes sizes(in);
  const std::int64_t width = sizes.width;
  Reader reader(in, sizes.type);
  const BranchNorm norm = read_norm(reader, sizes);
  const LinearWeight q = reader.weight(sizes.projected(), width);
  const float* q_bias = reader.read(sizes.projected());
  const LinearWeight proj = reader.weight(width, width);
  const float* proj_bias = reader.read(width);
  const float* context = reader.read_if(sizes.cross, sizes.context_rows() * width);
  const LinearWeight kv = reader.weight(sizes.cross ? 2 * width : 0, width);
  const float* kv_bias = reader.read_if(sizes.cross, 2 * width);
  const float* table = reader.read_if(sizes.biased, sizes.table_size());
  const float* factors = reader.read_if(sizes.scaled, sizes.batch);
  float* y = reader.write(sizes.size());
  float* mean = reader.write(sizes.rows());
  float* rstd = reader.write(sizes.rows());
  std::byte* attended = reader.write_typed(sizes.size());
  float* log_sums = reader.write(sizes.rows() * sizes.heads);
  std::byte* projected = reader.write_typed(sizes.rows() * sizes.projected());
  std::byte* projected_context =
      sizes.cross ? reader.write_typed(sizes.context_rows() * 2 * width) : nullptr;
  if (!in.ok()) return in.status();

  Status status;
  {
    const Scratch<std::byte> normed(reader.bytes(sizes.size()));
    normalize_rows(norm, normed.data(), sizes.type, mean, rstd);
    status = project(q, q_bias, sizes.rows(), sizes.type, normed.data(), projected);
    if (!status.ok()) return status;
  }
  if (sizes.cross) {
    const ContextRows rows(sizes, context);
    status = project(kv, kv_bias, sizes.context_rows(), sizes.type, rows.data(), projected_context);
    if (!status.ok()) return status;
  }
  const Projections parts(sizes, projected, projected_context);
  status = attention_forward(sizes.shape(table), parts.query, parts.key, parts.value,
                             {attended, width, sizes.bfloat16()}, log_sums);
  if (!status.ok()) return status;
  MatmulDescription last = linear_product(proj, sizes.rows(), sizes.type, MatrixType::kFloat32);
  last.epilogue.bias = proj_bias;
  last.epilogue.row_scale = factors;
  last.epilogue.rows_per_scale = sizes.tokens;
  last.epilogue.residual = norm.x;
  return matmul(last, attended, proj.data, y);
}

struct GradInputs {
  const float* dy;
  BranchNorm norm;
  LinearWeight q, proj;
  const float* context;
  LinearWeight kv;
  const float *table, *factors, *mean, *rstd;
  const std::byte* attended;
  const float* log_sums;
  const std::byte *projected, *projected_context;

  GradInputs(Reader& reader, const Sizes& sizes)
      : dy(reader.read(sizes.size())),
        norm(read_norm(reader, sizes)),
        q(reader.weight(sizes.projected(), sizes.width)),
        proj(reader.weight(sizes.width, sizes.width)),
        context(reader.read_if(sizes.cross, sizes.context_rows() * sizes.width)),
        kv(reader.weight(sizes.cross ? 2 * sizes.width : 0, sizes.width)),
        table(reader.read_if(sizes.biased, sizes.table_size())),
        factors(reader.read_if(sizes.scaled, sizes.batch)),
        mean(reader.read(sizes.rows())),
        rstd(reader.read(sizes.rows())),
        attended(reader.read_typed(sizes.size())),
        log_sums(reader.read(sizes.rows() * sizes.heads)),
        projected(reader.read_typed(sizes.rows() * sizes.projected())),
        projected_context(sizes.cross ? reader.read_typed(sizes.context_rows() * 2 * sizes.width)
                                      : nullptr) {}
};

struct GradOutputs {
  float *dx, *norm_weight, *norm_bias, *q_weight, *q_bias, *proj_weight, *proj_bias;
  float* table = nullptr;
  float *kv_weight = nullptr, *kv_bias = nullptr, *context = nullptr;

  GradOutputs(Reader& reader, const Sizes& sizes)
      : dx(reader.write(sizes.size())),
        norm_weight(reader.write(sizes.width)),
        norm_bias(reader.write(sizes.width)),
        q_weight(reader.write(sizes.projected() * sizes.width)),
        q_bias(reader.write(sizes.projected())),
        proj_weight(reader.write(sizes.width * sizes.width)),
        proj_bias(reader.write(sizes.width)) {
    if (sizes.biased) table = reader.write(sizes.table_size());
    if (!sizes.cross) return;
    kv_weight = reader.write(2 * sizes.width * sizes.width);
    kv_bias = reader.write(2 * sizes.width);
    context = reader.write(sizes.context_rows() * sizes.width);
  }
};

/// From the gradient of the sum to those of the projections, and of proj.
Status attend_back(const Sizes& sizes, const GradInputs& in, const GradOutputs& out,
                   std::byte* d_projected, std::byte* d_projected_context) {
  const std::int64_t rows = sizes.rows();
  const BranchGradient gradient(in.dy, in.factors, sizes.batch, sizes.tokens * sizes.width,
                                sizes.type);
  gradient.column_sums_to(out.proj_bias, rows, sizes.width);
  Status status = matmul(linear_weight_gradient(in.proj, rows, sizes.type), gradient.data(),
                         in.attended, out.proj_weight);
  if (!status.ok()) return status;
  const Scratch<std::byte> d_attended(sizes.size() * bytes_of(sizes.type));
  status = matmul(linear_input_gradient(in.proj, rows, sizes.type, sizes.type), gradient.data(),
                  in.proj.data, d_attended.data());
  if (!status.ok()) return status;
  const Projections parts(sizes, in.projected, in.projected_context);
  const Projections gradients(sizes, d_projected, d_projected_context);
  return attention_backward(sizes.shape(in.table), parts.query, parts.key, parts.value,
                            read_only(in.attended, sizes.width, sizes.bfloat16()),
                            read_only(d_attended.data(), sizes.width, sizes.bfloat16()), in.log_sums,
                            {gradients.query, gradients.key, gradients.value, out.table});
}

/// Gradients of the projection of the context.
Status context_back(const Sizes& sizes, const GradInputs& in, const GradOutputs& out,
                    const std::byte* d_projected) {
  const std::int64_t rows = sizes.context_rows();
  column_sums(d_projected, sizes.type, rows, 2 * sizes.width, out.kv_bias);
  const ContextRows context(sizes, in.context);
  Status status = matmul(linear_weight_gradient(in.kv, rows, sizes.type), d_projected,
                         context.data(), out.kv_weight);
  if (!status.ok()) return status;
  return matmul(linear_input_gradient(in.kv, rows, sizes.type, MatrixType::kFloat32), d_projected,
                in.kv.data, out.context);
}

// buffers: dy, x, normWeight, normBias, qWeight, projWeight, context, kvWeight, relBias, branchScale, mean, rstd, attended, logSums,
// projected, and projectedContext when cross; dx, dNormWeight, dNormBias, dQWeight, dQBias, dProjWeight, dProjBias, then dRelBias
// when biased, or dKvWeight, dKvBias, dContext when cross.
Status attention_branch_grad(const OpArguments& arguments) {
  const std::size_t buffers = is_cross(arguments) ? 26 : is_biased(arguments) ? 23 : 22;
  Arguments in("DmAttentionBranchGrad", arguments, buffers, kNumbers);
  const Sizes sizes(in);
  const std::int64_t rows = sizes.rows();
  Reader reader(in, sizes.type);
  const GradInputs inputs(reader, sizes);
  const GradOutputs outputs(reader, sizes);
  if (!in.ok()) return in.status();

  const Scratch<std::byte> d_projected(reader.bytes(rows * sizes.projected()));
  const Scratch<std::byte> d_projected_context(
      sizes.cross ? reader.bytes(sizes.context_rows() * 2 * sizes.width) : 0);
  Status status =
      attend_back(sizes, inputs, outputs, d_projected.data(), d_projected_context.data());
  if (!status.ok()) return status;
  if (sizes.cross) {
    status = context_back(sizes, inputs, outputs, d_projected_context.data());
    if (!status.ok()) return status;
  }
  column_sums(d_projected.data(), sizes.type, rows, sizes.projected(), outputs.q_bias);
  {
    const Scratch<std::byte> normed(reader.bytes(sizes.size()));
    normalize_rows_again(inputs.norm, inputs.mean, inputs.rstd, normed.data(), sizes.type);
    status = matmul(linear_weight_gradient(inputs.q, rows, sizes.type), d_projected.data(),
                    normed.data(), outputs.q_weight);
    if (!status.ok()) return status;
  }
  const Scratch<float> d_normed(sizes.size());
  status = matmul(linear_input_gradient(inputs.q, rows, sizes.type, MatrixType::kFloat32),
                  d_projected.data(), inputs.q.data, d_normed.data());
  if (!status.ok()) return status;
  normalize_rows_gradient(inputs.norm, d_normed.data(), inputs.mean, inputs.rstd, inputs.dy,
                          outputs.dx, outputs.norm_weight, outputs.norm_bias);
  return {};
}

}  // namespace

void register_attention_branch(OpTable& table) {
  table.add("DmAttentionBranch", attention_branch);
  table.add("DmAttentionBranchGrad", attention_branch_grad);
}

}  // namespace dm::cpu
