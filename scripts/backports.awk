# SPDX-License-Identifier: BSD-3-Clause
# Derives an apt source for RELEASE-backports from the machine's own sources.
#
#   awk -v release=NAME -f backports.awk FILE...
#
# Reads both formats of apt: one-line (*.list) and deb822 (*.sources). Takes the first enabled
# binary source with suite RELEASE and component main, and prints it as a deb822 paragraph with the
# suite RELEASE-backports: same address, same keyring, same options. Exit status: 0 printed;
# 3 RELEASE-backports is configured already; 4 no such source.

function has(list, word,    n, i, w)
{
	n = split(list, w, /[ \t\n]+/)
	for (i = 1; i <= n; i++)
		if (w[i] == word || w[i] == word "/")
			return 1
	return 0
}

function consider(    text, i, n, name)
{
	if (!has(field["types"], "deb") || tolower(field["enabled"]) ~ /^ *(no|false|0|off)/)
		return
	if (!has(field["components"], "main") || field["uris"] ~ /^ *cdrom:/)
		return
	if (has(field["suites"], release "-backports"))
		configured = 1
	if (found != "" || !has(field["suites"], release))
		return
	text = "Types: deb\nURIs: " field["uris"] "\nSuites: " release "-backports\nComponents: main\n"
	n = split("Architectures Signed-By Trusted Check-Valid-Until", name, " ")
	for (i = 1; i <= n; i++)
		if (tolower(name[i]) in field && field[tolower(name[i])] != "")
			text = text name[i] ": " field[tolower(name[i])] "\n"
	found = text
}

function reset()
{
	delete field
	last = ""
}

# deb822: the paragraph's end is an empty line or the file's end.
function end_paragraph()
{
	if ("types" in field)
		consider()
	reset()
}

function one_line(line,    opts, n, i, part, word, key, comp)
{
	reset()
	sub(/#.*/, "", line)
	if (line !~ /^[ \t]*deb[ \t]/)
		return
	sub(/^[ \t]*deb[ \t]+/, "", line)
	if (match(line, /^\[[^]]*\][ \t]*/)) {
		opts = substr(line, 2, RLENGTH - 2)
		sub(/\].*/, "", opts)
		line = substr(line, RLENGTH + 1)
		n = split(opts, part, /[ \t]+/)
		for (i = 1; i <= n; i++) {
			if (part[i] !~ /=/)
				continue
			key = tolower(part[i])
			sub(/=.*/, "", key)
			sub(/^[^=]*=/, "", part[i])
			gsub(/,/, " ", part[i])
			field[key == "arch" ? "architectures" : key] = part[i]
		}
	}
	n = split(line, word, /[ \t]+/)
	field["types"] = "deb"
	field["uris"] = word[1]
	field["suites"] = word[2]
	for (i = 3; i <= n; i++)
		comp = comp " " word[i]
	field["components"] = comp
	consider()
}

FNR == 1 {
	end_paragraph()
	deb822 = FILENAME ~ /\.sources$/
}

!deb822 {
	one_line($0)
	reset()
	next
}

/^#/ {
	next
}

/^[ \t]*$/ {
	end_paragraph()
	next
}

/^[ \t]/ {
	if (last != "")
		field[last] = field[last] "\n" $0
	next
}

match($0, /^[A-Za-z0-9-]+:/) {
	last = tolower(substr($0, 1, RLENGTH - 1))
	field[last] = substr($0, RLENGTH + 1)
	sub(/^[ \t]+/, "", field[last])
}

END {
	end_paragraph()
	if (configured)
		exit 3
	if (found == "")
		exit 4
	printf "%s", found
}
