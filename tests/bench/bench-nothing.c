/* tests/bench/bench-nothing.c - a dynamically linked program that only starts and exits: the floor of any tool. */
int main(void)
{
	return 0;
}
