# bash completion for aigw
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
