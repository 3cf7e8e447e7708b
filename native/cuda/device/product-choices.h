// SPDX-License-Identifier: Apache-2.0
// Which of the library's algorithms each product was given, kept in a file: what was measured once holds for later processes, which then give
// the same bits, as a run that is resumed has to. One line a product, appended in one write; a line that is cut short or of another form
// counts for nothing, and where nothing can be written choices last as long as the process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace dm::cuda {

class ProductChoices {
 public:
  static constexpr std::size_t kKeyParts = 16;
  using Key = std::array<std::int64_t, kKeyParts>;

  /// An empty path: no file.
  explicit ProductChoices(std::string path);

  /// The place of the algorithm among the library's answers; -1: the product is better made otherwise. None when it was not chosen yet.
  std::optional<int> find(const Key& key) const;
  void add(const Key& key, int choice);

  /// DIFFMAVIL_CUBLASLT_CHOICES (`off`, or a file); else in the user's cache, by the library's version and the device's name.
  static std::string path_from_environment(std::size_t version, const std::string& device);

 private:
  std::string path_;
  std::map<Key, int> choices_;
};

}  // namespace dm::cuda
