// SPDX-License-Identifier: Apache-2.0
// Enough of a test runner: cases named by sentences, checks that report and go on, an exit code.
// Include in one file per program.
#pragma once

#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace dm::test {

struct Case {
  const char* name;
  void (*body)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Register {
  Register(const char* name, void (*body)()) { cases().push_back({name, body}); }
};

inline void report(const char* file, int line, const std::string& what) {
  ++failures();
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

template <typename A, typename B>
void check_equal(const char* file, int line, const A& got, const B& expected) {
  if (got == expected) return;
  std::ostringstream text;
  text << "expected " << expected << ", got " << got;
  report(file, line, text.str());
}

}  // namespace dm::test

#define DM_JOIN_(a, b) a##b
#define DM_JOIN(a, b) DM_JOIN_(a, b)
/// TEST("the sentence") { … }
#define TEST(sentence)                                                                    \
  static void DM_JOIN(case_, __LINE__)();                                                 \
  static const dm::test::Register DM_JOIN(register_, __LINE__)(sentence,                  \
                                                               DM_JOIN(case_, __LINE__)); \
  static void DM_JOIN(case_, __LINE__)()

#define CHECK(condition) \
  if (!(condition)) dm::test::report(__FILE__, __LINE__, "expected " #condition)
#define CHECK_EQUAL(got, expected) dm::test::check_equal(__FILE__, __LINE__, got, expected)

int main() {
  for (const auto& [name, body] : dm::test::cases()) {
    const int before = dm::test::failures();
    body();
    std::printf("%s %s\n", dm::test::failures() == before ? "ok  " : "FAIL", name);
  }
  return dm::test::failures() == 0 ? 0 : 1;
}
