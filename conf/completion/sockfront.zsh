# SPDX-License-Identifier: MIT
#
# Completion for zsh, behind the options that conf/completion/generate.c writes: the
# array "options", for _arguments.

# Behind a colon there is more to come.
_sockfront_words() {
	compadd -S '' -- ${(M)@:#*:}
	compadd -- ${@:#*:}
}

_sockfront_address() {
	if [[ $PREFIX == [/.]* ]]; then
		_files
	else
		_sockfront_words "$@"
	fi
}

_sockfront_unit() {
	compadd -- ${${(f)"$(_call_program units systemctl list-unit-files --no-legend --no-pager '"*.service"')"}%% *}
}

_arguments -s -S $options
