# fish completion for aigw
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
