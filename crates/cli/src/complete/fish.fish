# Completions of cofferdam for fish: put this into
# ~/.config/fish/completions/cofferdam.fish.
function __cofferdam
    set -l said (commandline -opc) (commandline -ct)
    set -l program $said[1]
    set -e said[1]
    set -l found ($program __complete $said 2>/dev/null)
    if test "$found[1]" = files
        __fish_complete_path (commandline -ct)
    else
        set -e found[1]
        printf '%s\n' $found
    end
end
complete -c cofferdam -f -a '(__cofferdam)'
