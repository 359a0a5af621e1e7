;; Decodes the LZ4 block of one page and takes the page into a running CRC-64/GO-ISO.
;;
;; The caller copies the block to BLOCK, calls `decode`, and finds the page at PAGE and the checksum at 0. Copies run in
;; steps of 16 bytes and may go up to 15 bytes past their end: behind block and page lie bytes that nobody else uses, so
;; only lengths are checked, never steps. Whatever a copy wrote too much is overwritten or lies past the page's end.
;;
;;        0  i64  the checksum, in and out
;;     1024  BLOCK: up to 65809 bytes, what a page of 64 KiB can take at most, and room to read on
;;    69632  PAGE: up to 65536 bytes, and room to write on
;;   196608  end of memory
;;
;; The result is the number of bytes decoded, or -1 for a sequence that is cut off, a distance of 0 or to before the page,
;; or more bytes than the page holds. Only when it is the size of the page has the checksum gone on.
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
  (func $checksum (param $size i32)
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
    (if (i32.eq (local.get $out) (local.get $size)) (then (call $checksum (local.get $size))))
    (local.get $out)))
