# Completion of jetonctl for fish: what there is to offer, the tool itself says (ctl/complete.c).

function __jetonctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l value (string replace -r -- '^--[^=]*=' '' $current)
    set -l before (string sub -l (math (string length -- $current) - (string length -- $value)) -- $current)
    command $words[1] __complete $words[2..-1] $current 2>/dev/null | while read -l line
        switch $line
            case \tfiles
                string replace -r -- '^' $before (__fish_complete_path $value)
            case \tdirectories
                string replace -r -- '^' $before (__fish_complete_directories $value '')
            case \tprograms
                __fish_complete_command
            case \tusers
                string replace -r -- '^' $before (__fish_complete_users)
            case \tunits
                systemctl list-unit-files --type=service --no-legend --plain 2>/dev/null | string replace -r -- '^(\S+).*' $before'$1'
            case '*'
                echo $line
        end
    end
end

complete -c jetonctl -f -a '(__jetonctl_complete)'
