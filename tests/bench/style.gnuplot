# What all pictures have in common. tests/bench/page calls gnuplot with `dir`, where the data is, and `out`.
set terminal svg size 860,380 dynamic font "sans-serif,12" background "#ffffff"
set output out
set border 3 lc rgb "#666666"
set tics nomirror textcolor rgb "#333333"
set grid ytics lc rgb "#dddddd" lt 1 lw 0.5
set key top left reverse Left samplen 2
set style line 1 lc rgb "#888888" lw 2 pt 7 ps 0.6
set style line 2 lc rgb "#0b6e4f" lw 2.5 pt 7 ps 0.7
set style line 3 lc rgb "#c8553d" lw 2 pt 7 ps 0.6
set style line 4 lc rgb "#3d5a80" lw 2 pt 7 ps 0.6
set style line 5 lc rgb "#b08900" lw 2 pt 7 ps 0.6
