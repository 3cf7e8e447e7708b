// SPDX-License-Identifier: Apache-2.0
// The result of everything that can fail: a code and one sentence. Nothing here aborts, exits or
// throws to its caller.
#pragma once

#include <string>
#include <utility>

namespace dm {

enum class StatusCode { kOk, kInvalidArgument, kOutOfMemory, kUnsupported, kInternal };

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  /// `<where>: expected <what>, got <value>`.
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status invalid_argument(std::string message) {
  return {StatusCode::kInvalidArgument, std::move(message)};
}

/// The word that JavaScript errors carry as `code`.
const char* status_name(StatusCode code);

}  // namespace dm
