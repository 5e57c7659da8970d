# Rates by the number of connections: one at a time above, many at once below; one processor on the left, one each on the right.
set terminal svg size 860,640 dynamic font "sans-serif,12" background "#ffffff"
set key bottom right
set multiplot layout 2,2
set logscale x
set xtics (1, 8, 64, 1000)
set xrange [0.8:1300]
set yrange [0:*]
set xlabel "connections"
name(where, mode) = dir . "/" . where . "-" . mode . ".dat"

set ylabel "thousand a second"
set title "one at a time, one processor"
plot name("one", "single") using 1:($2/1e3) with linespoints ls 1 title "bare epoll echo", \
     "" using 1:($4/1e3) with linespoints ls 3 title "Redis GET", \
     "" using 1:($3/1e3) with linespoints ls 2 title "Verify"
set title "one at a time, a processor each"
plot name("two", "single") using 1:($2/1e3) with linespoints ls 1 notitle, \
     "" using 1:($4/1e3) with linespoints ls 3 notitle, \
     "" using 1:($3/1e3) with linespoints ls 2 notitle
set ylabel "million a second"
set title "many at once, one processor"
plot name("one", "piped") using 1:($2/1e6) with linespoints ls 1 notitle, \
     "" using 1:($4/1e6) with linespoints ls 3 notitle, \
     "" using 1:($3/1e6) with linespoints ls 2 notitle
set title "many at once, a processor each"
plot name("two", "piped") using 1:($2/1e6) with linespoints ls 1 notitle, \
     "" using 1:($4/1e6) with linespoints ls 3 notitle, \
     "" using 1:($3/1e6) with linespoints ls 2 notitle
unset multiplot
