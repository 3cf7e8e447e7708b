// SPDX-License-Identifier: Apache-2.0
#include "cuda/device/product-choices.h"

#include <fcntl.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

namespace dm::cuda {

namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// `$XDG_CACHE_HOME`, else `~/.cache`; empty where there is neither. A relative one counts as none, as its standard says.
std::filesystem::path cache_root() {
  const std::filesystem::path given = variable("XDG_CACHE_HOME");
  if (given.is_absolute()) return given;
  const std::filesystem::path home = variable("HOME");
  return home.is_absolute() ? home / ".cache" : std::filesystem::path();
}

}  // namespace

ProductChoices::ProductChoices(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::ifstream file(path_);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Key key{};
    int choice = 0;
    std::string end;
    for (std::int64_t& part : key) words >> part;
    // The word at the end tells that the line is whole.
    if (words >> choice >> end && end == ".") choices_[key] = choice;
  }
}

std::optional<int> ProductChoices::find(const Key& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void ProductChoices::add(const Key& key, int choice) {
  choices_[key] = choice;
  if (path_.empty()) return;
  std::ostringstream line;
  for (const std::int64_t part : key) line << part << ' ';
  line << choice << " .\n";
  const std::string text = line.str();
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
  const int file = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return;
  // A short write leaves a line that counts for nothing; the next one then begins in it and is lost with it.
  if (write(file, text.data(), text.size()) < 0) path_.clear();
  close(file);
}

std::string ProductChoices::path_from_environment(std::size_t version, const std::string& device) {
  const std::string given = variable("DIFFMAVIL_CUBLASLT_CHOICES");
  if (given == "off") return "";
  if (!given.empty()) return given;
  const std::filesystem::path root = cache_root();
  if (root.empty()) return "";
  std::string name = "cublaslt-" + std::to_string(version) + "-" + device + ".txt";
  for (char& letter : name) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) == 0 && letter != '-' && letter != '.') letter = '-';
  }
  return root / "diffmavil" / name;
}

}  // namespace dm::cuda
