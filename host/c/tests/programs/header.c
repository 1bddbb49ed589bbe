/* The header alone, twice, as C and as C++. */
#include <wif.h>
#include <wif.h>

int main(void) { return WIF_NO_LIMIT + 1; }
