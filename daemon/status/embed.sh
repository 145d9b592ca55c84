#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Turns the status page into the C source of page_file.h: what is before the marker of the
# table, what is after it, and the Content-Security-Policy that allows its one style and its one
# script by their hashes.  With coreutils and awk alone, so that a package can be built anywhere.
#
#	embed.sh page.html >page_file.c
set -eu

page=$1
marker='<!-- proxies -->'

fail() {
	echo "$page: $1" >&2
	exit 1
}

# The text between <TAG> and </TAG>, which are alone on their lines, to the byte.
element() {
	awk -v tag="$1" '
		$0 == "</" tag ">" { inside = 0 }
		inside { print }
		$0 == "<" tag ">" { inside = 1; printf "\n" }' "$page"
}

# Hexadecimal digits on stdin, as base64.
base64_of_hex() {
	awk '{
		alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		for (i = 1; i <= length($1); i += 6) {
			digits = substr($1, i, 6)
			n = 0
			for (k = 1; k <= 6; k++)
				n = n * 16 + index("123456789abcdef", substr(digits "000000", k, 1))
			text = ""
			for (k = 0; k < 4; k++) {
				text = substr(alphabet, n % 64 + 1, 1) text
				n = int(n / 64)
			}
			kept = int((length(digits) * 4 + 5) / 6)
			printf "%s", substr(text, 1, kept) substr("====", 1, 4 - kept)
		}
	}'
}

hash_of() {
	element "$1" | sha256sum | cut -c 1-64 | base64_of_hex
}

array() {
	echo "const unsigned char $1[] = {"
	od -An -v -tx1 | sed 's/ \(..\)/0x\1,/g'
	echo '};'
	echo "const size_t $1_size = sizeof($1);"
}

for line in "$marker" '<style>' '</style>' '<script>' '</script>'; do
	[ "$(grep -cFx -e "$line" "$page")" = 1 ] || fail "not exactly one line is $line"
done

echo '/* Made by daemon/status/embed.sh. */'
echo '#include "daemon/status/page_file.h"'
sed "/^$marker\$/,\$d" "$page" | array page_before
sed "1,/^$marker\$/d" "$page" | array page_after
echo "const char page_policy[] = \"default-src 'none'; script-src 'sha256-$(hash_of script)';\""
echo "	\" style-src 'sha256-$(hash_of style)'; connect-src 'self'; img-src data:;\""
echo "	\" frame-ancestors 'none'; base-uri 'none'; form-action 'none';\""
echo "	\" require-trusted-types-for 'script'\";"
