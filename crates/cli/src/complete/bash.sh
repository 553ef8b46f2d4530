# Completions of cofferdam for bash: source this, or put it into
# /usr/share/bash-completion/completions/cofferdam.
_cofferdam() {
    local line=${COMP_LINE:0:COMP_POINT} typed cut first
    local -a said found
    read -ra said <<< "$line"
    # Bash would split NAME:TAG in three; words are apart by blanks alone.
    case $line in *[[:space:]]) said+=("") ;; esac
    typed=${said[-1]}
    mapfile -t found < <("${said[0]}" __complete "${said[@]:1}" 2>/dev/null)
    first=${found[0]}
    COMPREPLY=()
    if [ "$first" = files ]; then
        compopt -o default
        return
    fi
    # What is before the last colon or equals sign stays as it is.
    cut=${typed%"${typed##*[:=]}"}
    local word
    for word in "${found[@]:1}"; do
        word=${word%%$'\t'*}
        COMPREPLY+=("${word#"$cut"}")
    done
}
complete -F _cofferdam cofferdam
