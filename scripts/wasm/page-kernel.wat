;; Pages to LZ4 blocks and back, and into a running CRC-64/GO-ISO.
;;
;; To decode, the caller copies the block to BLOCK, calls `decode`, and finds the page at PAGE and the checksum at 0. Copies run in
;; steps of 16 bytes and may go up to 15 bytes past their end: behind block and page lie bytes that nobody else uses, so
;; only lengths are checked, never steps. Whatever a copy wrote too much is overwritten or lies past the page's end.
;;
;; To encode, it copies the page to PAGE, calls `compress` and finds the block at BLOCK; then `checksum` takes the page, which
;; is still there, into the checksum. The block is, byte for byte, the one that src/ltx/lz4-block.ts makes.
;;
;;        0  i64  the checksum, in and out
;;     1024  BLOCK: up to 65809 bytes, what a page of 64 KiB can take at most, and room to read on
;;    69632  PAGE: up to 65536 bytes, and room to write on
;;   139264  TABLE: of the compressor, 16-bit positions by hash
;;   196608  end of memory
;;
;; The result of `decode` is the number of bytes decoded, or -1 for a sequence that is cut off, a distance of 0 or to before the page,
;; or more bytes than the page holds.
(module
  (memory (export "memory") 3 3)

  ;; Times x^64: see src/ltx/crc64.ts, which says why these shifts are that product.
  (func $times64 (param $a i64) (result i64)
    (local $b i64)
    (local $over i64)
    (local.set $b (i64.xor (local.get $a) (i64.shr_u (local.get $a) (i64.const 1))))
    (local.set $over (i64.shl (local.get $a) (i64.const 63)))
    (local.set $over
      (i64.xor
        (i64.xor (local.get $over) (i64.shr_u (local.get $over) (i64.const 3)))
        (i64.shl (local.get $b) (i64.const 61))))
    (local.set $over (i64.xor (local.get $over) (i64.shr_u (local.get $over) (i64.const 1))))
    (i64.xor
      (i64.xor (local.get $b) (i64.shr_u (local.get $b) (i64.const 3)))
      (i64.xor (local.get $over) (i64.shr_u (local.get $over) (i64.const 3)))))

  ;; Four lanes of two vectors times x^256, which is (1 + x^4)(1 + x^12).
  (func $times256 (param $a v128) (result v128)
    (local $b v128)
    (local $over v128)
    (local.set $b (v128.xor (local.get $a) (i64x2.shr_u (local.get $a) (i32.const 4))))
    (local.set $over (i64x2.shl (local.get $a) (i32.const 60)))
    (local.set $over
      (v128.xor
        (v128.xor (local.get $over) (i64x2.shr_u (local.get $over) (i32.const 12)))
        (i64x2.shl (local.get $b) (i32.const 52))))
    (local.set $over (v128.xor (local.get $over) (i64x2.shr_u (local.get $over) (i32.const 1))))
    (v128.xor
      (v128.xor (local.get $b) (i64x2.shr_u (local.get $b) (i32.const 12)))
      (v128.xor (local.get $over) (i64x2.shr_u (local.get $over) (i32.const 3)))))

  ;; The checksum of $size bytes, a multiple of 32, that begin at PAGE: four interleaved streams of 64-bit words.
  (func $checksum (export "checksum") (param $size i32)
    (local $at i32)
    (local $end i32)
    (local $v v128)
    (local $w v128)
    (local $a i64)
    (local.set $at (i32.const 69664))
    (local.set $end (i32.add (i32.const 69632) (local.get $size)))
    (local.set $v
      (v128.xor
        (v128.load (i32.const 69632))
        (i64x2.replace_lane 0
          (v128.const i64x2 0 0)
          (i64.xor (i64.load (i32.const 0)) (i64.const -1)))))
    (local.set $w (v128.load (i32.const 69648)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $v (v128.xor (call $times256 (local.get $v)) (v128.load (local.get $at))))
        (local.set $w (v128.xor (call $times256 (local.get $w)) (v128.load offset=16 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 32)))
        (br $next)))
    ;; Each stream is one word behind the next: join them in order, then once more for the last word.
    (local.set $a (call $times64 (i64x2.extract_lane 0 (local.get $v))))
    (local.set $a (call $times64 (i64.xor (local.get $a) (i64x2.extract_lane 1 (local.get $v)))))
    (local.set $a (call $times64 (i64.xor (local.get $a) (i64x2.extract_lane 0 (local.get $w)))))
    (local.set $a (call $times64 (i64.xor (local.get $a) (i64x2.extract_lane 1 (local.get $w)))))
    (i64.store (i32.const 0) (i64.xor (local.get $a) (i64.const -1))))

  (func (export "decode") (param $length i32) (param $size i32) (result i32)
    (local $in i32)      ;; next byte of the block
    (local $inEnd i32)
    (local $out i32)     ;; next byte of the page
    (local $outEnd i32)
    (local $token i32)
    (local $count i32)   ;; bytes of the run or match
    (local $more i32)
    (local $distance i32)
    (local $from i32)    ;; copy: source, target, target's end
    (local $to i32)
    (local $end i32)
    (local.set $in (i32.const 1024))
    (local.set $inEnd (i32.add (i32.const 1024) (local.get $length)))
    (local.set $out (i32.const 69632))
    (local.set $outEnd (i32.add (i32.const 69632) (local.get $size)))
    (block $done
      (loop $sequence
        (br_if $done (i32.ge_u (local.get $in) (local.get $inEnd)))
        (local.set $token (i32.load8_u (local.get $in)))
        (local.set $in (i32.add (local.get $in) (i32.const 1)))

        ;; Literals.
        (local.set $count (i32.shr_u (local.get $token) (i32.const 4)))
        (if (i32.lt_u (local.get $count) (i32.const 15))
          (then
            (v128.store (local.get $out) (v128.load (local.get $in)))
            (local.set $in (i32.add (local.get $in) (local.get $count)))
            (local.set $out (i32.add (local.get $out) (local.get $count)))
            (if (i32.or
                  (i32.gt_u (local.get $in) (local.get $inEnd))
                  (i32.gt_u (local.get $out) (local.get $outEnd)))
              (then (return (i32.const -1)))))
          (else
            (loop $extend
              (if (i32.ge_u (local.get $in) (local.get $inEnd)) (then (return (i32.const -1))))
              (local.set $more (i32.load8_u (local.get $in)))
              (local.set $in (i32.add (local.get $in) (i32.const 1)))
              (local.set $count (i32.add (local.get $count) (local.get $more)))
              (br_if $extend (i32.eq (local.get $more) (i32.const 255))))
            (local.set $end (i32.add (local.get $out) (local.get $count)))
            (if (i32.or
                  (i32.gt_u (i32.add (local.get $in) (local.get $count)) (local.get $inEnd))
                  (i32.gt_u (local.get $end) (local.get $outEnd)))
              (then (return (i32.const -1))))
            (local.set $from (local.get $in))
            (local.set $to (local.get $out))
            (loop $copy
              (v128.store (local.get $to) (v128.load (local.get $from)))
              (local.set $from (i32.add (local.get $from) (i32.const 16)))
              (local.set $to (i32.add (local.get $to) (i32.const 16)))
              (br_if $copy (i32.lt_u (local.get $to) (local.get $end))))
            (local.set $in (i32.add (local.get $in) (local.get $count)))
            (local.set $out (local.get $end))))

        ;; The last sequence ends with its literals.
        (br_if $done (i32.ge_u (local.get $in) (local.get $inEnd)))

        ;; Match.
        (local.set $distance (i32.load16_u (local.get $in)))
        (local.set $in (i32.add (local.get $in) (i32.const 2)))
        (if (i32.or
              (i32.gt_u (local.get $in) (local.get $inEnd))
              (i32.or
                (i32.eqz (local.get $distance))
                (i32.gt_u (local.get $distance) (i32.sub (local.get $out) (i32.const 69632)))))
          (then (return (i32.const -1))))
        (local.set $count (i32.and (local.get $token) (i32.const 15)))
        (if (i32.eq (local.get $count) (i32.const 15))
          (then
            (loop $extend
              (if (i32.ge_u (local.get $in) (local.get $inEnd)) (then (return (i32.const -1))))
              (local.set $more (i32.load8_u (local.get $in)))
              (local.set $in (i32.add (local.get $in) (i32.const 1)))
              (local.set $count (i32.add (local.get $count) (local.get $more)))
              (br_if $extend (i32.eq (local.get $more) (i32.const 255))))))
        (local.set $to (local.get $out))
        (local.set $from (i32.sub (local.get $out) (local.get $distance)))
        (local.set $out (i32.add (local.get $out) (i32.add (local.get $count) (i32.const 4))))
        (if (i32.gt_u (local.get $out) (local.get $outEnd)) (then (return (i32.const -1))))
        (if (i32.lt_u (local.get $distance) (i32.const 16))
          (then
            ;; A pattern shorter than a step: byte by byte until so many of its periods stand there that a step fits.
            (local.set $end (local.get $from))
            (loop $widen
              (local.set $end (i32.add (local.get $end) (local.get $distance)))
              (br_if $widen (i32.lt_u (i32.sub (local.get $end) (local.get $from)) (i32.const 16))))
            (local.set $distance (i32.sub (local.get $end) (local.get $from)))
            (local.set $end (i32.add (local.get $to) (local.get $distance)))
            (loop $byte
              (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
              (local.set $from (i32.add (local.get $from) (i32.const 1)))
              (local.set $to (i32.add (local.get $to) (i32.const 1)))
              (br_if $sequence (i32.eq (local.get $to) (local.get $out)))
              (br_if $byte (i32.lt_u (local.get $to) (local.get $end))))
            (local.set $from (i32.sub (local.get $to) (local.get $distance)))))
        (loop $copy
          (v128.store (local.get $to) (v128.load (local.get $from)))
          (local.set $from (i32.add (local.get $from) (i32.const 16)))
          (local.set $to (i32.add (local.get $to) (i32.const 16)))
          (br_if $copy (i32.lt_u (local.get $to) (local.get $out))))
        (br $sequence)))
    (local.set $out (i32.sub (local.get $out) (i32.const 69632)))
    (local.get $out))

  ;; The bytes of 255 and the last one that lengthen a count of 15; returns the place behind them.
  (func $putLength (param $out i32) (param $rest i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.lt_u (local.get $rest) (i32.const 255)))
        (i32.store8 (local.get $out) (i32.const 255))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (local.set $rest (i32.sub (local.get $rest) (i32.const 255)))
        (br $next)))
    (i32.store8 (local.get $out) (local.get $rest))
    (i32.add (local.get $out) (i32.const 1)))

  ;; Copies literals from the page, in steps of 16 bytes; returns the place behind them.
  (func $putLiterals (param $out i32) (param $from i32) (param $count i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $out) (local.get $count)))
    (loop $copy
      (v128.store (local.get $out) (v128.load offset=69632 (local.get $from)))
      (local.set $from (i32.add (local.get $from) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $copy (i32.lt_u (local.get $out) (local.get $end))))
    (local.get $end))

  ;; Positions count from the start of the page. $size is a page size, so there is room for a match.
  (func (export "compress") (param $size i32) (result i32)
    (local $shift i32)       ;; larger pages pay for a larger table
    (local $lastStart i32)   ;; no match starts after this
    (local $matchLimit i32)  ;; nor reaches beyond this
    (local $at i32)
    (local $anchor i32)      ;; first byte not in the block yet
    (local $out i32)
    (local $sequence i32)    ;; the four bytes at $at
    (local $misses i32)
    (local $slot i32)
    (local $candidate i32)
    (local $end i32)         ;; of the match, and of what it repeats
    (local $other i32)
    (local $difference i64)
    (local $token i32)
    (local $high i32)
    (local $low i32)
    (local.set $shift
      (select (i32.const 18) (i32.const 20) (i32.gt_u (local.get $size) (i32.const 8192))))
    (memory.fill
      (i32.const 139264)
      (i32.const 0)
      (i32.shl (i32.const 1) (i32.sub (i32.const 33) (local.get $shift))))
    (local.set $lastStart (i32.sub (local.get $size) (i32.const 12)))
    (local.set $matchLimit (i32.sub (local.get $size) (i32.const 5)))
    (local.set $at (i32.const 1))
    (local.set $out (i32.const 1024))
    (local.set $sequence (i32.load offset=69632 (i32.const 1)))
    (block $tail
      (loop $search
        ;; Find four equal bytes; steps grow while nothing is found, so incompressible input costs little.
        (local.set $misses (i32.const 64))
        (block $found
          (loop $probe
            (local.set $slot
              (i32.shl
                (i32.shr_u
                  (i32.mul (local.get $sequence) (i32.const 0x9e3779b1))
                  (local.get $shift))
                (i32.const 1)))
            (local.set $candidate (i32.load16_u offset=139264 (local.get $slot)))
            (i32.store16 offset=139264 (local.get $slot) (local.get $at))
            (br_if $found
              (i32.and
                (i32.eq (i32.load offset=69632 (local.get $candidate)) (local.get $sequence))
                (i32.lt_u (local.get $candidate) (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.shr_u (local.get $misses) (i32.const 6))))
            (local.set $misses (i32.add (local.get $misses) (i32.const 1)))
            (br_if $tail (i32.gt_u (local.get $at) (local.get $lastStart)))
            (local.set $sequence (i32.load offset=69632 (local.get $at)))
            (br $probe)))
        (local.set $end (i32.add (local.get $at) (i32.const 4)))
        (local.set $other (i32.add (local.get $candidate) (i32.const 4)))
        ;; Extend backwards.
        (block $begins
          (loop $back
            (br_if $begins (i32.le_u (local.get $at) (local.get $anchor)))
            (br_if $begins (i32.eqz (local.get $candidate)))
            (br_if $begins
              (i32.ne
                (i32.load8_u offset=69631 (local.get $at))
                (i32.load8_u offset=69631 (local.get $candidate))))
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (local.set $candidate (i32.sub (local.get $candidate) (i32.const 1)))
            (br $back)))
        ;; Extend forwards, eight bytes at a time; the lowest differing byte of the xor ends the match.
        (block $ends
          (loop $eight
            (if (i32.le_u (local.get $end) (i32.sub (local.get $matchLimit) (i32.const 8)))
              (then
                (local.set $difference
                  (i64.xor
                    (i64.load offset=69632 (local.get $end))
                    (i64.load offset=69632 (local.get $other))))
                (if (i64.ne (local.get $difference) (i64.const 0))
                  (then
                    (local.set $end
                      (i32.add
                        (local.get $end)
                        (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $difference)) (i64.const 3)))))
                    (br $ends)))
                (local.set $end (i32.add (local.get $end) (i32.const 8)))
                (local.set $other (i32.add (local.get $other) (i32.const 8)))
                (br $eight))))
          (loop $one
            (br_if $ends (i32.ge_u (local.get $end) (local.get $matchLimit)))
            (br_if $ends
              (i32.ne
                (i32.load8_u offset=69632 (local.get $end))
                (i32.load8_u offset=69632 (local.get $other))))
            (local.set $end (i32.add (local.get $end) (i32.const 1)))
            (local.set $other (i32.add (local.get $other) (i32.const 1)))
            (br $one)))
        ;; The sequence: token, literals, distance.
        (local.set $token (local.get $out))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (local.set $high (i32.sub (local.get $at) (local.get $anchor)))
        (local.set $low (local.get $high))
        (if (i32.ge_u (local.get $high) (i32.const 15))
          (then
            (local.set $out
              (call $putLength (local.get $out) (i32.sub (local.get $high) (i32.const 15))))
            (local.set $high (i32.const 15))))
        (local.set $out (call $putLiterals (local.get $out) (local.get $anchor) (local.get $low)))
        (i32.store16 (local.get $out) (i32.sub (local.get $at) (local.get $candidate)))
        (local.set $out (i32.add (local.get $out) (i32.const 2)))
        (local.set $low (i32.sub (i32.sub (local.get $end) (local.get $at)) (i32.const 4)))
        (if (i32.ge_u (local.get $low) (i32.const 15))
          (then
            (local.set $out
              (call $putLength (local.get $out) (i32.sub (local.get $low) (i32.const 15))))
            (local.set $low (i32.const 15))))
        (i32.store8
          (local.get $token)
          (i32.or (i32.shl (local.get $high) (i32.const 4)) (local.get $low)))
        (local.set $at (local.get $end))
        (local.set $anchor (local.get $end))
        (br_if $tail (i32.gt_u (local.get $at) (local.get $lastStart)))
        (i32.store16 offset=139264
          (i32.shl
            (i32.shr_u
              (i32.mul (i32.load offset=69630 (local.get $at)) (i32.const 0x9e3779b1))
              (local.get $shift))
            (i32.const 1))
          (i32.sub (local.get $at) (i32.const 2)))
        (local.set $sequence (i32.load offset=69632 (local.get $at)))
        (br $search)))
    ;; The last sequence has literals only.
    (local.set $low (i32.sub (local.get $size) (local.get $anchor)))
    (if (i32.ge_u (local.get $low) (i32.const 15))
      (then
        (i32.store8 (local.get $out) (i32.const 0xf0))
        (local.set $out
          (call $putLength
            (i32.add (local.get $out) (i32.const 1))
            (i32.sub (local.get $low) (i32.const 15)))))
      (else
        (i32.store8 (local.get $out) (i32.shl (local.get $low) (i32.const 4)))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))))
    (i32.sub
      (call $putLiterals (local.get $out) (local.get $anchor) (local.get $low))
      (i32.const 1024))))
