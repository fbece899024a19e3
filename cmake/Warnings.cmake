# One set of flags for every target. Warnings are errors; nothing is switched off here to make code pass.
add_compile_definitions(_GNU_SOURCE H2O_USE_LIBUV=0)
add_compile_options(
  -Wall -Wextra -Werror -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith
  -Wcast-qual -Wwrite-strings -Wvla -Wswitch-enum -Wold-style-definition -Wnull-dereference -Wdouble-promotion
  -fno-common -fno-strict-aliasing)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wlogical-op -Wduplicated-cond -Wduplicated-branches)
endif()
# Every file sees the ban of unsafe calls.
add_compile_options("SHELL:-include ${CMAKE_SOURCE_DIR}/common/base/banned.h")

if(KILN_HARDEN)
  add_compile_options(-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -fstack-clash-protection)
  add_link_options(-pie -Wl,-z,relro -Wl,-z,now)
endif()
if(KILN_SANITIZE)
  add_compile_options(-fsanitize=${KILN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -Og -g1) # lines for their reports; compiling takes a tenth less than with -g
  add_link_options(-fsanitize=${KILN_SANITIZE})
  add_compile_definitions(KILN_SANITIZED=1)
endif()
if(KILN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
