"""`aigw completion`: the scripts that make a shell ask `aigw` what may follow.

They hold no flags or commands themselves, so they need no update with aigw. What they and
`complete_line` agree on is said there.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

# %q: names with spaces (`Claude Code`) must reach the command line as one word.
_BASH = r"""# bash completion for aigw
# Load it with: source <(aigw completion bash)

_aigw_completion() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$(printf '%q' "$candidate")")
    done < <(
        _AIGW_COMPLETE=bash _AIGW_COMPLETE_LINE="${COMP_LINE:0:COMP_POINT}" \
            _AIGW_COMPLETE_BREAKS="$COMP_WORDBREAKS" "$1" 2>/dev/null
    )
}

complete -o default -F _aigw_completion aigw
"""

_ZSH = r"""#compdef aigw
# zsh completion for aigw
# Load it with: source <(aigw completion zsh)
# or save it as _aigw in a folder of $fpath.

_aigw() {
    local -a candidates
    candidates=("${(@f)$(
        _AIGW_COMPLETE=zsh _AIGW_COMPLETE_LINE="${(j: :)words[1,CURRENT]}" "${words[1]}" 2>/dev/null
    )}")
    if [[ -n "${candidates[1]}" ]]; then
        _describe -V 'aigw' candidates
    else
        _files
    fi
}

if [[ "${funcstack[1]}" == "_aigw" ]]; then
    _aigw "$@"
else
    compdef _aigw aigw
fi
"""

_FISH = r"""# fish completion for aigw
# Load it with: aigw completion fish | source

function __aigw_complete
    set -lx _AIGW_COMPLETE fish
    set -lx _AIGW_COMPLETE_LINE (commandline -cp)
    set -l candidates (aigw 2>/dev/null)
    if test (count $candidates) -gt 0
        printf '%s\n' $candidates
    else
        __fish_complete_path (commandline -ct)
    end
end

complete -c aigw -f -a '(__aigw_complete)'
"""

_POWERSHELL = r"""# PowerShell completion for aigw
# Load it with: aigw completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName aigw -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $length = $cursorPosition - $commandAst.Extent.StartOffset
    $env:_AIGW_COMPLETE = 'powershell'
    $env:_AIGW_COMPLETE_LINE = $commandAst.ToString().PadRight($length).Substring(0, $length)
    try {
        aigw 2>$null | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            if (-not $help) { $help = $value }
            $word = if ($value -match '\s') { "'" + $value.Replace("'", "''") + "'" } else { $value }
            [System.Management.Automation.CompletionResult]::new($word, $value, 'ParameterValue', $help)
        }
    } finally {
        Remove-Item Env:_AIGW_COMPLETE, Env:_AIGW_COMPLETE_LINE -ErrorAction SilentlyContinue
    }
}
"""


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


SCRIPTS: dict[Shell, tuple[str, str]] = {
    Shell.BASH: ("aigw.bash", _BASH),
    Shell.ZSH: ("_aigw", _ZSH),
    Shell.FISH: ("aigw.fish", _FISH),
    Shell.POWERSHELL: ("aigw.ps1", _POWERSHELL),
}
"""Each shell's file name in completions/, and the script."""


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell to print the script for.")],
) -> None:
    """Print the script that completes commands, flags and values in a shell.

    bash: source <(aigw completion bash). fish: aigw completion fish | source. The script's first
    lines say how to load it.
    """
    sys.stdout.write(SCRIPTS[shell][1])
