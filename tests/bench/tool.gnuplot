# Whole processes, from before one is made to after it is gone.
set style fill solid 0.9 noborder
unset key
unset grid
set grid xtics lc rgb "#dddddd" lt 1 lw 0.5
set xrange [0:*]
set yrange [-0.6:*]
set xlabel "µs from before the process is made to after it is gone"
set title "programs, as a whole"
set lmargin 28
data = dir . "/tool.dat"
plot data using ($2/2):0:($2/2):(0.35):($3 == 1 ? 0x0b6e4f : 0x888888):ytic(1) with boxxyerrorbars lc rgb variable
