// The C++ tests' main function, made by doctest; the cases are in the test_*.cpp beside it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
