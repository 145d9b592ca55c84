# SPDX-License-Identifier: MIT
#
# Completion for fish, behind the options that conf/completion/generate.c writes.

function __sockfront_address
    if string match -qr '^[/.]' -- (commandline -ct | string replace -r '^--[^=]*=' '')
        __fish_complete_path (commandline -ct | string replace -r '^--[^=]*=' '')
    else
        string split ' ' -- $argv
    end
end

function __sockfront_unit
    systemctl list-unit-files --no-legend --no-pager '*.service' 2>/dev/null | string replace -r ' .*' ''
end
