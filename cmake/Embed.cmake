# Turns text files into C tables at build time, so that SQL and schemas stay files that can be read, run and checked by
# themselves.
#
#   kiln_embed_sql(target dir)      every dir/*.sql becomes `extern const struct pg_statement sql_<file name with _>;`
#                                   in the generated header "<target>_sql.h" (statement name = file name without .sql)
#   kiln_embed_schemas(target dir)  every dir/**/*.json in `const struct schema_file kiln_schema_files[]` ("kiln_schemas.h")

find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(kiln_embed_sql target dir)
  file(GLOB files CONFIGURE_DEPENDS "${dir}/*.sql")
  set(out "${CMAKE_CURRENT_BINARY_DIR}/embed/${target}")
  file(MAKE_DIRECTORY "${out}")
  string(REPLACE "-" "_" stem "${target}_sql")
  add_custom_command(
    OUTPUT "${out}/${stem}.c" "${out}/${stem}.h"
    COMMAND Python3::Interpreter "${CMAKE_SOURCE_DIR}/cmake/embed.py" sql "${out}/${stem}" ${files}
    DEPENDS ${files} "${CMAKE_SOURCE_DIR}/cmake/embed.py"
    VERBATIM)
  target_sources(${target} PRIVATE "${out}/${stem}.c" "${out}/${stem}.h")
  target_include_directories(${target} PUBLIC "${out}")
endfunction()

function(kiln_embed_schemas target dir)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${dir}/*.json")
  set(out "${CMAKE_CURRENT_BINARY_DIR}/embed/${target}")
  file(MAKE_DIRECTORY "${out}")
  add_custom_command(
    OUTPUT "${out}/kiln_schemas.c" "${out}/kiln_schemas.h"
    COMMAND Python3::Interpreter "${CMAKE_SOURCE_DIR}/cmake/embed.py" schemas "${out}/kiln_schemas" "${dir}" ${files}
    DEPENDS ${files} "${CMAKE_SOURCE_DIR}/cmake/embed.py"
    VERBATIM)
  target_sources(${target} PRIVATE "${out}/kiln_schemas.c" "${out}/kiln_schemas.h")
  target_include_directories(${target} PUBLIC "${out}")
endfunction()

# kiln_embed_migrations(target dir): `const struct migration_file kiln_migrations[]` in "kiln_migrations.h", in name order.
function(kiln_embed_migrations target dir)
  file(GLOB files CONFIGURE_DEPENDS "${dir}/*.sql")
  set(out "${CMAKE_CURRENT_BINARY_DIR}/embed/${target}")
  file(MAKE_DIRECTORY "${out}")
  add_custom_command(
    OUTPUT "${out}/kiln_migrations.c" "${out}/kiln_migrations.h"
    COMMAND Python3::Interpreter "${CMAKE_SOURCE_DIR}/cmake/embed.py" migrations "${out}/kiln_migrations" ${files}
    DEPENDS ${files} "${CMAKE_SOURCE_DIR}/cmake/embed.py"
    VERBATIM)
  target_sources(${target} PRIVATE "${out}/kiln_migrations.c" "${out}/kiln_migrations.h")
  target_include_directories(${target} PUBLIC "${out}")
endfunction()
