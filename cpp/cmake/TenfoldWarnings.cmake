# tenfold_warnings(target): the warnings every part of tenfold compiles without.
function(tenfold_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-psabi)
  if(TENFOLD_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
