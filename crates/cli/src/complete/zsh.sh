#compdef cofferdam
# Completions of cofferdam for zsh: put this as _cofferdam into a directory of
# $fpath.
_cofferdam() {
    local -a found shown
    local line
    found=("${(@f)$(${words[1]} __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == files ]]; then
        _files
        return
    fi
    for line in "${(@)found[2,-1]}"; do
        [[ -n $line ]] && shown+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe cofferdam shown
}
if [[ ${funcstack[1]} == _cofferdam ]]; then
    _cofferdam "$@"
else
    compdef _cofferdam cofferdam
fi
