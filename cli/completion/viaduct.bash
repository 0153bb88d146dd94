# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# bash: the program itself says what may come next (`viaduct __complete WORD...`), so there is no second list of commands.

_viaduct() {
	local program=${1/#\~/$HOME} cur value cut=
	local -a words
	COMPREPLY=()
	# Not COMP_WORDS, which are cut at ':' and '='.
	read -r -a words <<<"${COMP_LINE:0:COMP_POINT}"
	[[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]] || words+=("")
	cur=${words[-1]}
	# readline replaces only what follows the last of these.
	[[ $COMP_WORDBREAKS != *=* || $cur != *=* ]] || cut=${cur%"${cur##*=}"}
	[[ $COMP_WORDBREAKS != *:* || ${cur#"$cut"} != *:* ]] || cut=${cur%"${cur##*:}"}
	while IFS=$'\t' read -r value _; do
		case $value in
		:file) compopt -o default ;;
		:user) mapfile -t COMPREPLY < <(compgen -u -- "${cur#"$cut"}") ;;
		*)
			COMPREPLY+=("${value#"$cut"}")
			[[ $value != *[=,:] ]] || compopt -o nospace
			;;
		esac
	done < <("$program" __complete "${words[@]:1}" 2>/dev/null)
} 2>/dev/null

complete -F _viaduct viaduct
