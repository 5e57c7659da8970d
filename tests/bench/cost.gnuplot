# What a call costs by the number of tokens that there are.
set logscale xy
set xrange [800:1.3e6]
set xtics ("a thousand" 1e3, "ten thousand" 1e4, "a hundred thousand" 1e5, "a million" 1e6)
set yrange [4:*]
set xlabel "tokens"
set ylabel "µs a call"
set title "one client, one call at a time, one processor"
set key outside right center
data = dir . "/cost.dat"
plot data using 1:2 with linespoints ls 2 title "Verify", \
     data using 1:3 with linespoints ls 1 title "Fetch", \
     data using 1:4 with linespoints ls 5 title "List of ten", \
     data using 1:5 with linespoints ls 3 title "Issue, durable", \
     data using 1:6 with linespoints ls 4 title "Revoke, durable"
