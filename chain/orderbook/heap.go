package orderbook

// A heap is a slice in which the item at i comes before those at 2i+1 and 2i+2.

// sink puts the item at i, which may belong further down, where it belongs.
func sink[T any](heap []T, i int, before func(a, b T) bool) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if before(heap[child], heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
}

// rise puts the item at i, which may belong further up, where it belongs.
func rise[T any](heap []T, i int, before func(a, b T) bool) {
	for i > 0 && before(heap[i], heap[(i-1)/2]) {
		heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
		i = (i - 1) / 2
	}
}

// dropFirst takes the first item out.
func dropFirst[T any](heap []T, before func(a, b T) bool) []T {
	last := len(heap) - 1
	heap[0] = heap[last]
	heap = heap[:last]
	if last > 0 {
		sink(heap, 0, before)
	}
	return heap
}
