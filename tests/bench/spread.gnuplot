# How long single calls take: each nine more is as far to the right.
set logscale xy
set xrange [2:10000]
set xtics ("50 %%" 2, "90 %%" 10, "99 %%" 100, "99.9 %%" 1000, "99.99 %%" 10000)
set grid xtics lc rgb "#dddddd" lt 1 lw 0.5
set xlabel "so many of all calls took no longer"
set ylabel "µs"
set title "64 connections that all ask, a processor each (MUNGE: 4 callers)"
name(who) = dir . "/" . who . ".dat"
has(who) = int(system("wc -l <" . name(who))) > 0
plot name("echo") using 1:2 with lines ls 1 title "bare epoll echo", \
     name(has("redis") ? "redis" : "echo") using 1:2 with lines ls 3 title has("redis") ? "Redis GET" : "", \
     name(has("munge") ? "munge" : "echo") using 1:2 with lines ls 4 title has("munge") ? "MUNGE decode" : "", \
     name("jeton") using 1:2 with lines ls 2 title "Verify"
